//! Figures as they are measured: printed for people, written as JSON into the file that `RELAY_BENCH_JSON` names.

use std::time::Duration;

use serde_json::{Value, json};

/// All that was measured.
#[derive(Default)]
pub struct Figures {
    lines: Vec<Value>,
}

/// Half, the least, the most and 99 % of some times, in milliseconds.
struct Spread {
    half: f64,
    least: f64,
    most: f64,
    nearly: f64,
}

impl Spread {
    fn of(times: &[Duration]) -> Spread {
        let mut all: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        let at = |part: f64| all[((all.len() - 1) as f64 * part).round() as usize];
        Spread { half: at(0.5), least: at(0.0), most: at(1.0), nearly: at(0.99) }
    }
}

impl Figures {
    /// What the API server does alone; gives its median in milliseconds.
    pub fn yardstick(&mut self, name: &str, times: &[Duration]) -> f64 {
        let Spread { half, least, most, nearly } = Spread::of(times);
        println!("{name:<46} {half:8.2} ms   {least:.2} to {most:.2}, 99 % within {nearly:.2}; a yardstick");
        self.lines.push(
            json!({"yardstick": name, "median_ms": half, "least_ms": least, "most_ms": most, "p99_ms": nearly}),
        );
        half
    }

    /// What Relay does, beside a yardstick in milliseconds.
    pub fn figure(&mut self, name: &str, times: &[Duration], yardstick: f64) {
        let Spread { half, least, most, nearly } = Spread::of(times);
        let (beyond, ratio) = (half - yardstick, half / yardstick);
        println!(
            "{name:<46} {half:8.2} ms   {least:.2} to {most:.2}, 99 % within {nearly:.2}; {beyond:.2} beyond {yardstick:.2}, {ratio:.1} of it"
        );
        self.lines.push(json!({
            "figure": name, "median_ms": half, "least_ms": least, "most_ms": most, "p99_ms": nearly,
            "yardstick_ms": yardstick, "beyond_ms": beyond, "ratio": ratio,
        }));
    }

    /// A number of its own.
    pub fn count(&mut self, name: &str, value: f64) {
        println!("{name:<46} {value:8.2}");
        self.lines.push(json!({"figure": name, "value": value}));
    }

    /// A number, beside the same without any run, and what it may be at most.
    pub fn bounded(&mut self, name: &str, unit: &str, value: f64, (beside, most): (f64, f64)) {
        println!("{name:<46} {value:8.2} {unit}   without runs {beside:.2}, at most {most}");
        self.lines.push(json!({
            "figure": name, "unit": unit, "value": value, "without_runs": beside, "at_most": most,
        }));
    }

    /// What belongs to the figures before it.
    pub fn say(&self, text: &str) {
        println!("  {text}");
    }

    /// Writes the file.
    pub fn end(self) {
        let Some(file) = std::env::var_os("RELAY_BENCH_JSON").filter(|file| !file.is_empty()) else { return };
        let text = serde_json::to_string_pretty(&self.lines).expect("JSON");
        std::fs::write(file, text + "\n").expect("the file of RELAY_BENCH_JSON can be written");
    }
}
