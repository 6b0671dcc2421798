//! Finds the number of calls at once that a destination can handle: one more after each round of successes, half
//! after a sign of overload.
//!
//! Pure data. The number is between one and the configured limit.

#[derive(Debug)]
pub(super) struct Concurrency {
    most: usize,
    current: usize,
    /// Since the last change.
    successes: usize,
    /// The calls made before the last decrease that are not answered yet. Their answers do not count as signs of
    /// overload.
    stale: usize,
}

impl Concurrency {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, current: most, successes: 0, stale: 0 }
    }

    pub(super) const fn current(&self) -> usize {
        self.current
    }

    pub(super) const fn succeeded(&mut self) {
        self.stale = self.stale.saturating_sub(1);
        if self.current == self.most {
            return;
        }
        self.successes += 1;
        if self.successes >= self.current {
            self.successes = 0;
            self.current += 1;
        }
    }

    /// The destination is overloaded; `in_flight` calls are not answered yet.
    pub(super) const fn overloaded(&mut self, in_flight: usize) {
        if self.stale > 0 {
            self.stale -= 1;
            return;
        }
        self.current = if self.current > 1 { self.current / 2 } else { 1 };
        self.successes = 0;
        self.stale = in_flight;
    }

    /// Starts with one call, after a pause.
    pub(super) const fn restart(&mut self) {
        *self = Self { current: 1, ..Self::new(self.most) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_once_a_round_and_grows_by_one_a_round() {
        let mut concurrency = Concurrency::new(64);
        // A whole round that fails counts as one sign of overload, not as 64.
        (0..64).rev().for_each(|in_flight| concurrency.overloaded(in_flight));
        assert_eq!(concurrency.current(), 32);
        (0..32).for_each(|_| concurrency.succeeded());
        assert_eq!(concurrency.current(), 33);
        (0..20).for_each(|_| concurrency.overloaded(0));
        assert_eq!(concurrency.current(), 1);
        (0..64 * 64).for_each(|_| concurrency.succeeded());
        assert_eq!(concurrency.current(), 64);
        concurrency.restart();
        assert_eq!(concurrency.current(), 1);
    }
}
