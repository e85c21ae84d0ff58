//! 1 x 1 x 1 convolutions that are computed where they are read, so that their results are never stored.

use crate::Source;
use crate::fold::{Conv, Read, Step, Work};
use pleura_kernels as kernels;
use std::collections::BTreeMap;

/// Channels of a 1 x 1 x 1 convolution at most, in and out, for a wider kernel to compute it: each of its values 1.75
/// times by Winograd's method and more directly, which with more of them takes longer than to store and to load them.
const CHEAP: usize = 16;
/// Input channels of a 1 x 1 x 1 convolution at most for each that it gives: until they are read they take memory, in
/// place of those.
const WIDER: usize = 2;

/// Joins each 1 x 1 x 1 convolution to the convolution that alone reads it. The steps come in an order in which
/// they can be run; `outputs` are places of layers that are wanted themselves.
pub(crate) fn join(steps: Vec<Step>, outputs: &[usize]) -> Vec<Step> {
    let mut uses: BTreeMap<usize, usize> = outputs.iter().map(|&o| (o, 1)).collect();
    for source in steps.iter().flat_map(|s| s.inputs.iter().chain(&s.residual)) {
        if let Source::Layer(l) = source {
            *uses.entry(*l).or_default() += 1;
        }
    }
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    for mut step in steps {
        if let Work::Conv { conv, reads } = &mut step.work {
            let sources = std::mem::take(&mut step.inputs);
            for source in sources {
                let maker = joined.iter().position(|maker| {
                    source == Source::Layer(maker.value) && uses[&maker.value] == 1 && fits(maker, &conv.conv)
                });
                let Some(Step { work: Work::Conv { conv, .. }, inputs, relu, .. }) =
                    maker.map(|m| joined.remove(m))
                else {
                    reads.push(Read::Map);
                    step.inputs.push(source);
                    continue;
                };
                reads.push(Read::Pointwise { conv, relu, maps: inputs.len() });
                step.inputs.extend(inputs);
            }
        }
        joined.push(step);
    }
    joined
}

/// Whether `maker` is a 1 x 1 x 1 convolution, of maps that are stored, that `reader` can compute.
fn fits(maker: &Step, reader: &kernels::Conv) -> bool {
    let Work::Conv { conv: Conv { conv, .. }, reads } = &maker.work else { return false };
    let stored = reads.iter().all(|r| matches!(r, Read::Map));
    let cheap = reader.is_pointwise() || (reader.stride == [1; 3] && conv.c_in.max(conv.c_out) <= CHEAP);
    let small = conv.c_in <= WIDER * conv.c_out;
    conv.is_pointwise() && stored && maker.residual.is_none() && cheap && small
}

#[cfg(test)]
mod tests {
    use crate::specs::{location_attention, vnet_ir_rpn};
    use crate::{Layer, NetSpec, Op, Weights};

    /// Names of the layers that steps end with.
    fn stored(spec: &NetSpec) -> Vec<&str> {
        let steps = crate::fold::steps(spec, &Weights::init(spec, 1).unwrap()).unwrap();
        steps.iter().map(|s| spec.layers[s.value].name.as_str()).collect()
    }

    #[test]
    fn only_what_one_convolution_reads_is_joined_and_for_wide_kernels_only_what_is_cheap() {
        let spec = vnet_ir_rpn(&[8, 32, 64, 128], 5);
        let names = stored(&spec);
        let is_stored = |name: &str| names.contains(&name);
        // Read by the block's last convolution, at every level.
        for block in ["enc0.0", "enc1.0", "enc3.1", "dec1.0"] {
            assert!(!is_stored(&format!("{block}.a0.relu")), "{block}");
            assert!(is_stored(&format!("{block}.b1.relu")), "{block}");
        }
        // Of 8 channels and of 16 for a kernel of 3 x 3 x 3; of 32 it is too dear.
        assert!(!is_stored("enc0.0.b0.relu") && !is_stored("enc0.0.c0.relu") && !is_stored("dec0.0.relu"));
        assert!(is_stored("enc1.0.b0.relu") && is_stored("enc1.0.c0.relu"));
        // Read by four, and outputs.
        assert!(is_stored("dec1.mix.relu") && is_stored("rpn_objectness") && is_stored("voxel"));
    }

    #[test]
    fn what_would_hold_many_channels_until_it_is_read_is_stored() {
        let conv =
            |out, edge| Op::Conv { out, kernel: [edge; 3], stride: [1; 3], pad: [edge / 2; 3], bias: false };
        let layer = |name: &str, input: &str, op| Layer { name: name.into(), inputs: vec![input.into()], op };
        for (wide, joined) in [(8, true), (9, false)] {
            let layers = vec![
                layer("a", "x", conv(wide, 3)),
                layer("b", "a", conv(4, 1)),
                layer("c", "b", conv(4, 1)),
            ];
            let outputs = vec!["c".into()];
            let spec = NetSpec { name: "narrowing".into(), channels: 1, features: 0, layers, outputs };
            assert_eq!(!stored(&spec).contains(&"b"), joined, "{wide}");
        }
    }

    #[test]
    fn shortcuts_of_stride_two_are_stored() {
        let spec = location_attention(3, 1);
        assert!(stored(&spec).contains(&"stage1.0.short.bn"));
    }
}
