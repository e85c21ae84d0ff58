//! A network as a plain graph of layers: the one definition from which the executor, the burn
//! modules and other programs' twins are made.

use serde::{Deserialize, Serialize};

/// What a layer does. Sizes are in the order depth, height, width; a 2D network has depth 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Op {
    /// Convolution. Tensors: `weight` [out, in, kd, kh, kw], `bias` [out] when `bias`.
    Conv {
        /// Output channels.
        out: usize,
        /// Kernel size.
        kernel: [usize; 3],
        /// Step.
        stride: [usize; 3],
        /// Zeros added on each side.
        pad: [usize; 3],
        /// Whether a bias is added.
        bias: bool,
    },
    /// Transposed convolution 2 x 2 x 2, stride 2. Tensors: `weight` [in, out, 2, 2, 2], `bias` [out].
    UpConv {
        /// Output channels.
        out: usize,
    },
    /// Batch normalisation per channel. Tensors: `weight`, `bias`, `running_mean`, `running_var`, all [c].
    BatchNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// max(x, 0).
    Relu,
    /// x or `weight` times x where negative; `weight` [c].
    PRelu,
    /// First input plus `scale` times the second (the residual scaling of Inception-ResNet).
    Add {
        /// Factor of the second input.
        scale: f64,
    },
    /// Inputs side by side along channels (features), in order.
    Concat,
    /// Largest value in each window; padding never wins.
    MaxPool {
        /// Window size.
        kernel: [usize; 3],
        /// Step.
        stride: [usize; 3],
        /// Cells added on each side.
        pad: [usize; 3],
    },
    /// Mean over depth, height and width: [n, c, d, h, w] -> [n, c].
    GlobalAvgPool,
    /// Full connection [n, in] -> [n, out]. Tensors: `weight` [out, in], `bias` [out].
    Linear {
        /// Output features.
        out: usize,
    },
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique, stable name; tensors are called `<name>.<tensor>`.
    pub name: String,
    /// Names of earlier layers, of the image input `"x"`, or of the feature input `"f"`.
    pub inputs: Vec<String>,
    /// What it does.
    #[serde(flatten)]
    pub op: Op,
}

/// A network. Layers are in an order in which they can be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetSpec {
    /// Name of the architecture, such as `vnet-ir-rpn`.
    pub name: String,
    /// Channels of the image input `"x"`.
    pub channels: usize,
    /// Length of the feature input `"f"`; 0 when there is none.
    pub features: usize,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Names of the layers whose results come out, in order.
    pub outputs: Vec<String>,
}
