//! The bridge into burn: one node of the graph as a burn operation with gradients.
//!
//! Every node is plain Rust on slices ([`Node`]); this file only carries tensors across. The
//! methods differ in their number of inputs because burn's autodiff wants that number as a type.

use crate::node::{Node, View};
use crate::pool;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{DType, Shape, Tensor};
use burn_flex::{FlexTensor, Layout};

/// Graph nodes as operations of a burn backend; the number is that of the inputs.
#[backend_extension(Autodiff, Flex)]
pub trait NodeOps: Backend {
    /// A node of one input.
    fn node1(a: FloatTensor<Self>, node: Node) -> FloatTensor<Self>;
    /// A node of two inputs.
    fn node2(a: FloatTensor<Self>, b: FloatTensor<Self>, node: Node) -> FloatTensor<Self>;
    /// A node of three inputs.
    fn node3(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        node: Node,
    ) -> FloatTensor<Self>;
    /// A node of four inputs.
    fn node4(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        node: Node,
    ) -> FloatTensor<Self>;
}

/// What a backend must compute itself for [`NodeOps`] to have gradients on top of it.
pub trait NodeKernels: Backend {
    /// The node's result.
    fn forward(node: &Node, inputs: &[FloatTensor<Self>]) -> FloatTensor<Self>;
    /// The gradient of each needed input. `inputs` and `output` are what the node asked to keep.
    fn backward(
        node: &Node,
        saved: Saved<Self>,
        dy: FloatTensor<Self>,
        needed: &[bool],
    ) -> Vec<Option<FloatTensor<Self>>>;
    /// Takes a tensor that is no longer needed, whose memory may be used again.
    fn recycle(tensor: FloatTensor<Self>);
}

/// What a node keeps for its backward pass.
#[derive(Debug)]
pub struct Saved<B: Backend> {
    inputs: Vec<Option<FloatTensor<B>>>,
    shapes: Vec<Vec<usize>>,
    output: Option<FloatTensor<B>>,
}

impl<B: Backend> Clone for Saved<B> {
    fn clone(&self) -> Self {
        Self { inputs: self.inputs.clone(), shapes: self.shapes.clone(), output: self.output.clone() }
    }
}

/// The dense values of a tensor; a view is copied first.
fn dense(t: FlexTensor) -> FlexTensor {
    t.to_contiguous()
}

fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from(shape));
    FlexTensor::new(burn::tensor::Bytes::from_elems(values), layout, DType::F32)
}

/// The values of a tensor that was kept, else none.
fn values(t: &Option<FlexTensor>) -> &[f32] {
    t.as_ref().map(FlexTensor::storage::<f32>).unwrap_or(&[])
}

/// Runs all loops of a node on a thread of the pool: from elsewhere each of them would have to wake it, and to wait to be
/// woken. Not whole passes: burn holds a lock meanwhile, and a thread of the pool that waits may begin another one.
fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

impl NodeKernels for Flex {
    fn forward(node: &Node, inputs: &[FlexTensor]) -> FlexTensor {
        let inputs: Vec<FlexTensor> = inputs.iter().cloned().map(dense).collect();
        let views: Vec<View> =
            inputs.iter().map(|t| View { shape: t.layout().shape(), values: t.storage::<f32>() }).collect();
        let (values, shape) = in_pool(|| node.forward(&views));
        tensor(values, shape)
    }

    fn backward(node: &Node, saved: Saved<Self>, dy: FlexTensor, needed: &[bool]) -> Vec<Option<FlexTensor>> {
        let Saved { inputs, shapes, output } = saved;
        let inputs: Vec<Option<FlexTensor>> = inputs.into_iter().map(|t| t.map(dense)).collect();
        let (output, dy) = (output.map(dense), dense(dy));
        let views: Vec<View> =
            inputs.iter().zip(&shapes).map(|(t, shape)| View { shape, values: values(t) }).collect();
        let (y, dy_values) = (values(&output), dy.storage::<f32>());
        let gradients = in_pool(|| node.backward(&views, y, dy_values, needed));
        inputs.into_iter().chain([output, Some(dy)]).flatten().for_each(Self::recycle);
        let mut gradients: Vec<Option<FlexTensor>> =
            gradients.into_iter().zip(shapes).map(|(g, shape)| g.map(|g| tensor(g, shape))).collect();
        if node.gradients_are_alike() {
            // Shared, not copied.
            let one = gradients[0].clone();
            gradients.fill(one);
        }
        gradients
    }

    fn recycle(tensor: FlexTensor) {
        // Whoever holds it too still needs it, and recycles it later.
        if tensor.is_unique() && tensor.is_contiguous() {
            pool::give(tensor.into_data().try_into_vec().unwrap_or_default());
        }
    }
}

impl NodeOps for Flex {
    fn node1(a: FlexTensor, node: Node) -> FlexTensor {
        Self::forward(&node, &[a])
    }
    fn node2(a: FlexTensor, b: FlexTensor, node: Node) -> FlexTensor {
        Self::forward(&node, &[a, b])
    }
    fn node3(a: FlexTensor, b: FlexTensor, c: FlexTensor, node: Node) -> FlexTensor {
        Self::forward(&node, &[a, b, c])
    }
    fn node4(a: FlexTensor, b: FlexTensor, c: FlexTensor, d: FlexTensor, node: Node) -> FlexTensor {
        Self::forward(&node, &[a, b, c, d])
    }
}

/// The backward step of any node.
#[derive(Debug)]
struct Step;

impl<B: NodeKernels, const N: usize> Backward<B, N> for Step {
    type State = (Node, Saved<B>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (node, saved) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let parents: Vec<Option<NodeId>> = ops.parents.iter().map(|p| p.as_ref().map(|p| p.id)).collect();
        let needed: Vec<bool> = parents.iter().map(Option::is_some).collect();
        for (id, gradient) in parents.into_iter().zip(B::backward(&node, saved, dy, &needed)) {
            if let (Some(id), Some(gradient)) = (id, gradient) {
                grads.register::<B>(id, gradient);
            }
        }
    }
}

/// Runs a node and registers its backward step.
fn tracked<B: NodeKernels, C: CheckpointStrategy, const N: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    node: Node,
) -> FloatTensor<Autodiff<B, C>> {
    use burn::backend::TensorMetadata;
    let guards = inputs.each_ref().map(|t| t.node());
    let plain: Vec<FloatTensor<B>> = inputs.into_iter().map(|t| t.into_primitive()).collect();
    let output = B::forward(&node, &plain);
    match Backward::<B, N>::prepare::<C>(Step, guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let shapes = plain.iter().map(|t| t.shape().to_vec()).collect();
            let keep = |(i, t)| {
                if node.keeps_input(i) {
                    return Some(t);
                }
                B::recycle(t);
                None
            };
            let saved = Saved {
                inputs: plain.into_iter().enumerate().map(keep).collect(),
                shapes,
                output: node.keeps_output().then(|| output.clone()),
            };
            prep.finish((node, saved), output)
        }
        OpsKind::UnTracked(prep) => {
            plain.into_iter().for_each(B::recycle);
            prep.finish(output)
        }
    }
}

impl<B: NodeOps + NodeKernels, C: CheckpointStrategy> NodeOps for Autodiff<B, C> {
    fn node1(a: FloatTensor<Self>, node: Node) -> FloatTensor<Self> {
        tracked::<B, C, 1>([a], node)
    }
    fn node2(a: FloatTensor<Self>, b: FloatTensor<Self>, node: Node) -> FloatTensor<Self> {
        tracked::<B, C, 2>([a, b], node)
    }
    fn node3(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        node: Node,
    ) -> FloatTensor<Self> {
        tracked::<B, C, 3>([a, b, c], node)
    }
    fn node4(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        node: Node,
    ) -> FloatTensor<Self> {
        tracked::<B, C, 4>([a, b, c, d], node)
    }
}

/// A tensor of any rank on its way into a node.
pub(crate) type Raw = burn::backend::DispatchTensor;

/// Runs a node of one to four inputs and gives its result as a tensor of `D` axes.
pub(crate) fn run<const D: usize>(node: Node, inputs: Vec<Raw>) -> Tensor<D> {
    let mut inputs = inputs.into_iter();
    let out = match (inputs.next(), inputs.next(), inputs.next(), inputs.next()) {
        (Some(a), None, ..) => Dispatch::node1(a, node),
        (Some(a), Some(b), None, _) => Dispatch::node2(a, b, node),
        (Some(a), Some(b), Some(c), None) => Dispatch::node3(a, b, c, node),
        (Some(a), Some(b), Some(c), Some(d)) => Dispatch::node4(a, b, c, d, node),
        (None, ..) => unreachable!("a node has inputs"),
    };
    Tensor::from_dispatch(out)
}
