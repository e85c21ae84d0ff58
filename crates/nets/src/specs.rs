//! The three networks.

use crate::{Layer, NetSpec, Op};

/// Output of the proposal head: one objectness logit an anchor.
pub const OBJECTNESS: &str = "rpn_objectness";
/// Output of the proposal head: six box offsets an anchor.
pub const OFFSETS: &str = "rpn_offsets";
/// Output of the auxiliary head: logit of infected tissue at each voxel.
pub const VOXEL: &str = "voxel";
/// Voxels per cell of the proposal head's maps.
pub const RPN_STRIDE: usize = 4;

/// Factor of the residual branch: Inception-ResNet scales it to 0.1 to 0.3.
const RESIDUAL_SCALE: f64 = 0.2;
const EPS: f64 = 1e-5;

/// Adds layers and hands out their names.
struct Builder {
    layers: Vec<Layer>,
}

impl Builder {
    fn add(&mut self, name: &str, op: Op, inputs: &[&str]) -> String {
        let inputs = inputs.iter().map(|s| s.to_string()).collect();
        self.layers.push(Layer { name: name.into(), inputs, op });
        name.into()
    }

    fn conv(&mut self, name: &str, x: &str, out: usize, kernel: [usize; 3], bias: bool) -> String {
        let pad = kernel.map(|k| k / 2);
        self.add(name, Op::Conv { out, kernel, stride: [1; 3], pad, bias }, &[x])
    }

    fn norm(&mut self, name: &str, x: &str) -> String {
        self.add(&format!("{name}.bn"), Op::BatchNorm { eps: EPS }, &[x])
    }

    fn relu(&mut self, name: &str, x: &str) -> String {
        self.add(&format!("{name}.relu"), Op::Relu, &[x])
    }

    /// Convolution, batch normalisation, ReLU.
    fn unit(&mut self, name: &str, x: &str, out: usize, edge: usize) -> String {
        let c = self.conv(&format!("{name}.conv"), x, out, [edge; 3], false);
        let n = self.norm(name, &c);
        self.relu(name, &n)
    }

    /// Halves a map with a 2 x 2 x 2 convolution, as V-Net does.
    fn down(&mut self, name: &str, x: &str, out: usize) -> String {
        let op = Op::Conv { out, kernel: [2; 3], stride: [2; 3], pad: [0; 3], bias: false };
        let c = self.add(&format!("{name}.conv"), op, &[x]);
        let n = self.norm(name, &c);
        self.relu(name, &n)
    }

    /// Doubles a map with a 2 x 2 x 2 transposed convolution, as V-Net does.
    fn up(&mut self, name: &str, x: &str, out: usize) -> String {
        let c = self.add(&format!("{name}.conv"), Op::UpConv { out }, &[x]);
        let n = self.norm(name, &c);
        self.relu(name, &n)
    }

    /// Inception-ResNet block: three branches of growing reach side by side, projected back to
    /// `c` channels, scaled, added to the input. `branch` channels in each branch.
    fn inception_residual(&mut self, name: &str, x: &str, c: usize, branch: usize) -> String {
        let point = self.unit(&format!("{name}.a0"), x, branch, 1);
        let mut near = self.unit(&format!("{name}.b0"), x, branch, 1);
        near = self.unit(&format!("{name}.b1"), &near, branch, 3);
        let mut far = self.unit(&format!("{name}.c0"), x, branch, 1);
        far = self.unit(&format!("{name}.c1"), &far, branch, 3);
        far = self.unit(&format!("{name}.c2"), &far, branch, 3);
        let joined = self.add(&format!("{name}.cat"), Op::Concat, &[&point, &near, &far]);
        let back = self.conv(&format!("{name}.proj"), &joined, c, [1; 3], true);
        let sum = self.add(&format!("{name}.add"), Op::Add { scale: RESIDUAL_SCALE }, &[x, &back]);
        self.relu(name, &sum)
    }

    /// Basic residual block of ResNet-18.
    fn basic(
        &mut self,
        name: &str,
        x: &str,
        c: usize,
        depth: usize,
        stride: [usize; 3],
        widen: bool,
    ) -> String {
        let (kernel, pad) = ([depth, 3, 3], [depth / 2, 1, 1]);
        let op = Op::Conv { out: c, kernel, stride, pad, bias: false };
        let a = self.add(&format!("{name}.conv1"), op, &[x]);
        let a = self.norm(&format!("{name}.1"), &a);
        let a = self.relu(&format!("{name}.1"), &a);
        let b = self.conv(&format!("{name}.conv2"), &a, c, kernel, false);
        let b = self.norm(&format!("{name}.2"), &b);
        let short = if widen {
            let op = Op::Conv { out: c, kernel: [1; 3], stride, pad: [0; 3], bias: false };
            let s = self.add(&format!("{name}.short"), op, &[x]);
            self.norm(&format!("{name}.short"), &s)
        } else {
            x.to_string()
        };
        let sum = self.add(&format!("{name}.add"), Op::Add { scale: 1.0 }, &[&short, &b]);
        self.relu(name, &sum)
    }
}

/// VNET-IR-RPN, the candidate detector (paper: V-Net, Inception-ResNet blocks, region proposal
/// network; all sizes are ours).
///
/// `widths` are the channels at strides 1, 2, 4, 8, ...; at least three levels, since the proposal
/// head reads the decoder at stride 4 ([`NetSpec::validate`] refuses fewer). Input: one channel,
/// sizes in multiples of `2^(levels - 1)`. Outputs: [`OBJECTNESS`] `[anchors_per_cell]` and
/// [`OFFSETS`] `[6 * anchors_per_cell]` at stride 4, [`VOXEL`] `[1]` at stride 1, all logits.
///
/// Full resolution costs the most and says the least, so it gets a stem, one light block on the
/// way down and one thin convolution on the way up; coarser levels get two blocks each.
pub fn vnet_ir_rpn(widths: &[usize], anchors_per_cell: usize) -> NetSpec {
    let mut b = Builder { layers: Vec::new() };
    let branch = |c: usize| (c / 2).max(8);
    let mut skips: Vec<(String, usize)> = Vec::new();
    let mut x = "x".to_string();
    for (level, &c) in widths.iter().enumerate() {
        x = match level {
            0 => b.unit("stem", &x, c, 3),
            _ => b.down(&format!("down{level}"), &x, c),
        };
        for i in 0..if level < 2 { 1 } else { 2 } {
            x = b.inception_residual(&format!("enc{level}.{i}"), &x, c, branch(c));
        }
        skips.push((x.clone(), c));
    }
    // The deepest level is no skip; with three levels it is what the proposal head reads.
    skips.pop();
    let mut proposal_features = if skips.len() == 2 { x.clone() } else { "stride-4 features".into() };
    for (level, (skip, c)) in skips.iter().enumerate().rev() {
        let up = b.up(&format!("up{level}"), &x, *c);
        let joined = b.add(&format!("dec{level}.cat"), Op::Concat, &[skip, &up]);
        if level == 0 {
            let thin = b.unit("dec0.0", &joined, branch(*c), 1);
            x = b.unit("dec0.1", &thin, branch(*c), 3);
            break;
        }
        x = b.unit(&format!("dec{level}.mix"), &joined, *c, 1);
        for i in 0..if level < 2 { 1 } else { 2 } {
            x = b.inception_residual(&format!("dec{level}.{i}"), &x, *c, branch(*c));
        }
        if level == 2 {
            proposal_features = x.clone();
        }
    }
    b.conv(VOXEL, &x, 1, [1; 3], true);
    let head = b.unit("rpn", &proposal_features, widths.get(2).copied().unwrap_or(0), 3);
    b.conv(OBJECTNESS, &head, anchors_per_cell, [1; 3], true);
    b.conv(OFFSETS, &head, 6 * anchors_per_cell, [1; 3], true);
    NetSpec {
        name: "vnet-ir-rpn".into(),
        channels: 1,
        features: 0,
        layers: b.layers,
        outputs: [OBJECTNESS, OFFSETS, VOXEL].map(String::from).to_vec(),
    }
}

/// Stem and stages of ResNet-18 down to 256 values, then 16 (paper: 256 -> 16).
///
/// Ours: stage widths 32-64-128-256 so that global pooling gives the paper's 256; a 7 x 7 stem of
/// stride 2 without the max-pooling after it, so that a 64 x 64 patch still has 4 x 4 cells in the
/// last stage. A slab of more than one slice gets kernels three slices deep; strides stay in the
/// plane, since a thin slab has no depth to give away.
fn resnet_body(slab: usize) -> (Builder, String) {
    let depth = if slab > 1 { 3 } else { 1 };
    let mut b = Builder { layers: Vec::new() };
    let (kernel, pad) = ([depth, 7, 7], [depth / 2, 3, 3]);
    let stem = Op::Conv { out: 32, kernel, stride: [1, 2, 2], pad, bias: false };
    let mut x = b.add("stem.conv", stem, &["x"]);
    x = b.norm("stem", &x);
    x = b.relu("stem", &x);
    for (stage, c) in [32, 64, 128, 256].into_iter().enumerate() {
        for block in 0..2 {
            let widen = stage > 0 && block == 0;
            let stride = if widen { [1, 2, 2] } else { [1; 3] };
            x = b.basic(&format!("stage{stage}.{block}"), &x, c, depth, stride, widen);
        }
    }
    x = b.add("pool", Op::GlobalAvgPool, &[&x]);
    x = b.add("reduce", Op::Linear { out: 16 }, &[&x]);
    x = b.relu("reduce", &x);
    (b, x)
}

fn classifier(name: &str, features: usize, slab: usize, b: Builder, logits: String) -> NetSpec {
    let name = if slab > 1 { format!("{name}-slab") } else { name.into() };
    NetSpec { name, channels: 1, features, layers: b.layers, outputs: vec![logits] }
}

/// The paper's plain classifier: ResNet-18 features, 256 -> 16 -> `classes` logits (output `logits`).
///
/// Input `[n, slab, h, w, 1]`; `slab` 1 is the 2D form (the default), more the 3D form. See the
/// sizes that are ours in the source.
pub fn resnet18(classes: usize, slab: usize) -> NetSpec {
    let (mut b, x) = resnet_body(slab);
    let logits = b.add("logits", Op::Linear { out: classes }, &[&x]);
    classifier("resnet18", 0, slab, b, logits)
}

/// The paper's location-attention classifier: as [`resnet18`], but the relative distance from the
/// lung's edge (input `"f"`, one value a patch) joins the 16 values, and three full connections
/// (17 -> 32 -> 16 -> `classes`, widths ours) give the logits.
pub fn location_attention(classes: usize, slab: usize) -> NetSpec {
    let (mut b, x) = resnet_body(slab);
    let mut x = b.add("located", Op::Concat, &[&x, "f"]);
    for (name, out) in [("fc1", 32), ("fc2", 16)] {
        x = b.add(name, Op::Linear { out }, &[&x]);
        x = b.relu(name, &x);
    }
    let logits = b.add("logits", Op::Linear { out: classes }, &[&x]);
    classifier("location-attention", 1, slab, b, logits)
}
