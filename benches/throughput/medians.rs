//! What a run measures, and the medians of all rounds.

use std::fmt;

use super::Kind;

pub(super) const HEADING: &str = " build   outbox    batch  history  delivered/s   CPU us/event   servers' CPU     p50 ms     p99 ms   RSS MB";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) build: usize,
    pub(super) outbox: Kind,
    pub(super) batch: usize,
    pub(super) has_history: bool,
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { build, outbox, batch, has_history } = *self;
        let history = if has_history { "on" } else { "off" };
        write!(formatter, "{build:>6} {:>8} {batch:>8} {history:>8}", outbox.name())
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Delivered events per second.
    pub(super) rate: f64,
    /// CPU time of the relay for an event, in microseconds.
    pub(super) cpu: f64,
    /// CPU time of all servers of the outbox for an event, in microseconds.
    pub(super) servers_cpu: f64,
    /// Times to the answer, in milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Resident memory at the end, in megabytes.
    pub(super) rss: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, cpu, servers_cpu, p50, p99, rss } = self;
        write!(formatter, " {rate:>12.0} {cpu:>14.1} {servers_cpu:>14.1} {p50:>10.2} {p99:>10.2} {rss:>8.0}")
    }
}

/// The figures of all rounds.
#[derive(Debug, Default)]
pub(super) struct Medians(Vec<(Run, Vec<Figures>)>);

impl Medians {
    pub(super) fn add(&mut self, run: Run, figures: Figures) {
        match self.0.iter_mut().find(|(known, _)| *known == run) {
            Some((_, all)) => all.push(figures),
            None => self.0.push((run, vec![figures])),
        }
    }
}

impl fmt::Display for Medians {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "medians")?;
        for (run, all) in &self.0 {
            let median = |of: fn(&Figures) -> f64| {
                let mut values: Vec<f64> = all.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2].midpoint(values[(values.len() - 1) / 2])
            };
            let figures = Figures {
                rate: median(|one| one.rate),
                cpu: median(|one| one.cpu),
                servers_cpu: median(|one| one.servers_cpu),
                p50: median(|one| one.p50),
                p99: median(|one| one.p99),
                rss: median(|one| one.rss),
            };
            write!(formatter, "\n{run}{figures}")?;
        }
        Ok(())
    }
}
