//! The loop both trainings share: a step, a checkpoint now and then, and the way back.

use crate::checkpoint::{self, State};
use crate::optimizer::{AdamWConfig, Step, norm};
use crate::{Error, Result};
use burn::tensor::{Device, Tensor};
use pleura_evaluate::{Curve, write_curves};
use pleura_nets::{NetSpec, Weights};
use pleura_nets_burn::{Net, Value};
use pleura_volume::Progress;
use std::path::Path;
use std::time::Instant;

/// Steps after which a budget of minutes is turned into a plan; the first two are not timed.
const TIMED_STEPS: u64 = 12;
/// Points that one point of the drawn curves is the mean of.
const SMOOTHED: usize = 20;

/// What a step gives: outputs of the network, the gradient of the loss by each, and the values to
/// draw, in the order of [`Task::curves`]; the first is the loss.
pub(crate) struct Pass {
    pub outputs: Vec<Value>,
    pub gradients: Vec<Vec<f32>>,
    pub values: Vec<f64>,
}

/// What is trained.
pub(crate) trait Task {
    /// Names of the curves.
    fn curves(&self) -> &[&'static str];
    /// Draws the batch of a step and runs it forward. `done` is the share of the plan before it, 0 to 1.
    fn pass(&self, step: u64, done: f64, net: &mut Net, device: &Device) -> Result<Pass>;
}

/// How batch normalisation learns. Small batches vary: what is trained by their statistics alone does
/// worse by the running ones, which are all that screening has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormPlan {
    /// Share by which running statistics move towards those of a batch.
    pub momentum: f32,
    /// Share of the plan, at its end, in which the running statistics are kept and used.
    pub fixed_share: f64,
}

impl NormPlan {
    /// Runs a batch forward, `done` of the plan being over.
    pub fn forward(
        &self,
        net: &mut Net,
        done: f64,
        image: Tensor<5>,
        features: Option<Tensor<2>>,
    ) -> Result<Vec<Value>> {
        Ok(match done + self.fixed_share >= 1.0 {
            true => net.forward(image, features)?,
            false => net.forward_train(image, features, self.momentum)?,
        })
    }
}

/// How long, and how.
pub(crate) struct Schedule<'a> {
    /// Steps; 0: as many as fit into `minutes`.
    pub steps: u64,
    pub minutes: f64,
    pub checkpoint_every: u64,
    pub optimizer: &'a AdamWConfig,
    /// The whole configuration as JSON: what a checkpoint belongs to.
    pub config: String,
    pub title: &'a str,
}

/// The state of a training whose plan is done: only its validation was interrupted.
///
/// # Errors
/// [`Error::OtherConfig`] and [`Error::Checkpoint`] when the checkpoint cannot be used.
pub(crate) fn finished(out_dir: &Path, config: &str) -> Result<Option<State>> {
    let state = checkpoint::load(&checkpoint::path(out_dir), config)?;
    Ok(state.filter(|s| s.planned_steps > 0 && s.step >= s.planned_steps))
}

/// Trains to the end of the plan, from the checkpoint in `out_dir` if there is one.
///
/// # Errors
/// [`Error::Cancelled`] after a checkpoint was written, when `progress` says so.
pub(crate) fn train(
    task: &dyn Task,
    spec: &NetSpec,
    initial: Weights,
    schedule: &Schedule,
    out_dir: &Path,
    progress: &dyn Progress,
) -> Result<State> {
    let path = checkpoint::path(out_dir);
    let fresh = || State {
        step: 0,
        planned_steps: schedule.steps,
        weights: initial,
        optimizer: Default::default(),
        curves: task.curves().iter().map(|n| Curve { name: n.to_string(), points: vec![] }).collect(),
    };
    let mut state = checkpoint::load(&path, &schedule.config)?.unwrap_or_else(fresh);
    let device = pleura_nets_burn::training_device();
    let mut net = Net::from_weights(spec, &state.weights, &device)?;
    progress.stage(schedule.title, state.planned_steps);
    let mut timed: Option<Instant> = None;
    let first = state.step;
    while state.planned_steps == 0 || state.step < state.planned_steps {
        if progress.cancelled() {
            store(&path, schedule, &mut state, &net)?;
            return Err(Error::Cancelled);
        }
        step(task, schedule.optimizer, &mut state, &mut net, &device)?;
        progress.done(state.step);
        if state.step == first + 2 {
            timed = Some(Instant::now());
        }
        if let (0, Some(start)) = (state.planned_steps, timed)
            && state.step >= first + TIMED_STEPS
        {
            let each = start.elapsed().as_secs_f64() / (TIMED_STEPS - 2) as f64;
            state.planned_steps = planned(schedule.minutes, each, state.step);
            progress.stage(schedule.title, state.planned_steps);
        }
        if state.step.is_multiple_of(schedule.checkpoint_every.max(1)) {
            store(&path, schedule, &mut state, &net)?;
            write_curves(&out_dir.join("curves"), schedule.title, &drawn(&state.curves))?;
        }
    }
    store(&path, schedule, &mut state, &net)?;
    write_curves(&out_dir.join("curves"), schedule.title, &drawn(&state.curves))?;
    Ok(state)
}

/// Steps that fit into a budget.
fn planned(minutes: f64, seconds_each: f64, done: u64) -> u64 {
    let fit = (minutes * 60.0 / seconds_each.max(1e-6)) as u64;
    fit.max(done + 1)
}

fn store(path: &Path, schedule: &Schedule, state: &mut State, net: &Net) -> Result<()> {
    state.weights = net.to_weights()?;
    checkpoint::save(path, &schedule.config, state)
}

fn step(
    task: &dyn Task,
    config: &AdamWConfig,
    state: &mut State,
    net: &mut Net,
    device: &Device,
) -> Result<()> {
    // Until the plan is made, little of it is done.
    let done = match state.planned_steps {
        0 => 0.0,
        planned => state.step as f64 / planned as f64,
    };
    let pass = task.pass(state.step, done, net, device)?;
    if pass.values.iter().any(|v| !v.is_finite()) {
        return Err(Error::Diverged(state.step));
    }
    let gradients = net.backward(&pass.outputs, pass.gradients)?;
    drop(pass.outputs);
    let gradients = net.gradients(gradients)?;
    let total = norm(gradients.values().map(Vec::as_slice));
    if !total.is_finite() {
        return Err(Error::Diverged(state.step));
    }
    // Until the plan is made the rate is in its warm-up, where the plan's length does not matter.
    let rate = config.rate(state.step, if state.planned_steps == 0 { u64::MAX } else { state.planned_steps });
    let scale = (config.clip_norm / total.max(1e-12)).min(1.0) as f32;
    state.optimizer.begin();
    let optimizer = &mut state.optimizer;
    net.update(|name, axes, values| {
        if let Some(gradient) = gradients.get(name) {
            optimizer.update(config, name, values, gradient, Step { scale, rate, decayed: axes > 1 });
        }
    })?;
    net.give_back(gradients);
    state.step += 1;
    for (curve, value) in state.curves.iter_mut().zip(&pass.values) {
        curve.points.push((state.step, *value));
    }
    Ok(())
}

/// Curves with their points averaged, so that the figure shows the trend.
fn drawn(curves: &[Curve]) -> Vec<Curve> {
    let mean = |p: &[(u64, f64)]| {
        let value = p.iter().map(|p| p.1).sum::<f64>() / p.len().max(1) as f64;
        (p.last().map_or(0, |p| p.0), value)
    };
    let smooth =
        |c: &Curve| Curve { name: c.name.clone(), points: c.points.chunks(SMOOTHED).map(mean).collect() };
    curves.iter().map(smooth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_of_minutes_becomes_steps() {
        assert_eq!(planned(10.0, 0.5, 12), 1200);
        // A budget already spent still ends with a step more, so that there is something to save.
        assert_eq!(planned(0.01, 10.0, 12), 13);
    }

    #[test]
    fn running_statistics_stand_still_in_their_share_of_the_plan() {
        let spec = pleura_nets::specs::vnet_ir_rpn(&[4, 8, 8], 1);
        let before = Weights::init(&spec, 3).unwrap();
        let device = pleura_nets_burn::training_device();
        let after = |done: f64| {
            let mut net = Net::from_weights(&spec, &before, &device).unwrap();
            let image =
                Tensor::from_data(burn::tensor::TensorData::new(vec![0.7f32; 512], [1, 8, 8, 8, 1]), &device);
            let plan = NormPlan { momentum: 0.5, fixed_share: 0.25 };
            plan.forward(&mut net, done, image, None).unwrap();
            net.to_weights().unwrap()
        };
        assert_ne!(after(0.74), before);
        assert_eq!(after(0.75), before);
    }

    #[test]
    fn drawn_curves_are_means_of_their_points() {
        let points = (1..=30).map(|i| (i, i as f64)).collect();
        let smooth = drawn(&[Curve { name: "loss".into(), points }]);
        assert_eq!(smooth[0].points, [(20, 10.5), (30, 25.5)]);
    }
}
