//! Figures beside their yardsticks, for people and for programs.

use std::time::Duration;

use serde::Serialize;

/// What the machine, Postgres or Redis can do alone.
#[derive(Clone, Debug, Serialize)]
pub struct Yardstick {
    /// Of what.
    pub name: &'static str,
    /// Of one thing a second, or of time.
    pub unit: &'static str,
    /// How much.
    pub value: f64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The workload.
    pub workload: &'static str,
    /// Of what.
    pub name: &'static str,
    /// A second, or of time.
    pub unit: &'static str,
    /// Each time.
    pub values: Vec<f64>,
    /// The middle of them.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// What it is held against.
    pub yardstick: &'static str,
    /// Of the same moment or of the same run.
    pub yardstick_value: f64,
    /// The median over the yardstick.
    pub ratio: f64,
}

/// What is worth knowing beside a figure, and is held against nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Remark {
    /// The workload.
    pub workload: &'static str,
    /// Of what.
    pub name: String,
    /// Of what it is so many.
    pub unit: &'static str,
    /// How many.
    pub value: f64,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Of the same run.
    pub yardsticks: Vec<Yardstick>,
    /// In the order in which they were measured.
    pub figures: Vec<Figure>,
    /// The same.
    pub remarks: Vec<Remark>,
}

impl Report {
    pub(super) fn yardstick(&mut self, name: &'static str, unit: &'static str, value: f64) -> String {
        self.yardsticks.push(Yardstick { name, unit, value });
        format!("{:<34} {:>12} {unit}", name, shown(value))
    }

    pub(super) fn remark(
        &mut self,
        workload: &'static str,
        name: String,
        unit: &'static str,
        value: f64,
    ) -> String {
        let line = format!("{workload:<14} {name}: {} {unit}", shown(value));
        self.remarks.push(Remark { workload, name, unit, value });
        line
    }

    pub(super) fn figure(
        &mut self,
        (workload, name, unit): (&'static str, &'static str, &'static str),
        values: Vec<f64>,
        (yardstick, yardstick_value): (&'static str, f64),
    ) -> String {
        let median = middle(&values);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        // Beside nothing at all there is no ratio, and programs read no infinity.
        let ratio = if yardstick_value > 0.0 { median / yardstick_value } else { 0.0 };
        let (least_shown, most_shown) = (shown(least), shown(most));
        self.figures.push(Figure {
            workload,
            name,
            unit,
            values,
            median,
            least,
            most,
            yardstick,
            yardstick_value,
            ratio,
        });
        format!(
            "{:<14} {:<27} {:>10} {unit:<7} {least_shown} to {most_shown}, {ratio:.2} of {yardstick} ({})",
            workload,
            name,
            shown(median),
            shown(yardstick_value)
        )
    }
}

/// The middle of some values; 0 of none.
pub(super) fn middle(values: &[f64]) -> f64 {
    part(values, 0.5)
}

/// The value below which a part of them lies; 0 of none.
pub(super) fn part(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// In milliseconds.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn shown(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
