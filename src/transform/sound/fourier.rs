//! The discrete Fourier transform of several signals at once, one in each lane.
//!
//! It is Stockham's form of the fast transform: factors of 4 and 2, and odd ones by their symmetry, each pass from one
//! buffer to another, so that the result is in order. Lanes do not touch each other. The time grows with the sum of the
//! factors: a length that is a large prime is slow.

use std::f64::consts::TAU;

use super::lanes::{LANES, Lanes, Reals};

/// How many real signals are transformed at once: one in the real part of each lane, one in the imaginary part.
pub(super) const FRAMES: usize = 2 * LANES;

/// A number of each signal, in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Complex {
    pub(super) re: [f64; LANES],
    pub(super) im: [f64; LANES],
}

/// The cosine and the sine of an angle.
type Turn = (f64, f64);

/// A number of each signal, in hand.
#[derive(Clone, Copy)]
pub(super) struct Number<R> {
    pub(super) re: R,
    pub(super) im: R,
}

#[expect(clippy::inline_always, reason = "these are parts of vectorised loops")]
impl Complex {
    /// Takes it in hand.
    #[inline(always)]
    pub(super) fn taken<L: Lanes>(&self, lanes: L) -> Number<L::Reals> {
        Number { re: lanes.reals(&self.re), im: lanes.reals(&self.im) }
    }
}

#[expect(clippy::inline_always, reason = "these are parts of vectorised loops")]
impl<R: Reals> Number<R> {
    /// Puts it back.
    #[inline(always)]
    pub(super) fn put(self) -> Complex {
        Complex { re: self.re.numbers(), im: self.im.numbers() }
    }

    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        Self { re: self.re.plus(other.re), im: self.im.plus(other.im) }
    }

    #[inline(always)]
    pub(super) fn minus(self, other: Self) -> Self {
        Self { re: self.re.minus(other.re), im: self.im.minus(other.im) }
    }

    /// Adds a multiple of another number.
    #[inline(always)]
    fn plus_times(self, other: Self, factor: f64) -> Self {
        Self { re: self.re.plus(other.re.times(factor)), im: self.im.plus(other.im.times(factor)) }
    }

    /// Turns by a quarter, clockwise.
    #[inline(always)]
    fn quarter(self) -> Self {
        Self { re: self.im, im: self.re.negated() }
    }

    /// Turns clockwise.
    #[inline(always)]
    fn turned(self, (cos, sin): Turn) -> Self {
        Self { re: self.re.times(cos).plus(self.im.times(sin)), im: self.im.times(cos).minus(self.re.times(sin)) }
    }
}

/// The transform of one length.
#[derive(Clone, Debug)]
pub(super) struct Fourier {
    /// The turns by each whole part of a circle in as many parts as the length says.
    turns: Vec<Turn>,
    factors: Vec<usize>,
}

/// One pass: the transforms of numbers that lie `stride * span` apart.
#[derive(Clone, Copy)]
struct Pass<'a, L> {
    lanes: L,
    turns: &'a [Turn],
    span: usize,
    stride: usize,
}

impl Fourier {
    /// Returns the transform of signals of this length, which is not 0.
    pub(super) fn new(len: usize) -> Self {
        let turn = |part: usize| {
            let angle = TAU * part as f64 / len as f64;
            (libm::cos(angle), libm::sin(angle))
        };
        Self { turns: (0..len).map(turn).collect(), factors: factors(len) }
    }

    /// Returns the length of the signals.
    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    /// Transforms what is in `signals`; `spare` is as long.
    #[expect(clippy::inline_always, reason = "it is the body of a vectorised loop")]
    #[inline(always)]
    pub(super) fn run(&self, lanes: impl Lanes, signals: &mut Vec<Complex>, spare: &mut Vec<Complex>) {
        let (mut left, mut stride) = (self.len(), 1);
        let zero = Complex::default().taken(lanes);
        for &radix in &self.factors {
            let pass = Pass { lanes, turns: &self.turns, span: left / radix, stride };
            match radix {
                2 => pass.two(signals, spare),
                3 => pass.odd(3, [zero; 1], [zero; 1], signals, spare),
                4 => pass.four(signals, spare),
                5 => pass.odd(5, [zero; 2], [zero; 2], signals, spare),
                _ => {
                    let half = || vec![zero; radix / 2];
                    pass.odd(radix, half(), half(), signals, spare);
                }
            }
            std::mem::swap(signals, spare);
            (left, stride) = (left / radix, stride * radix);
        }
    }
}

/// Returns the factors of a length: fours, then primes.
fn factors(mut len: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut factor = 4;
    while len > 1 {
        if len.is_multiple_of(factor) {
            found.push(factor);
            len /= factor;
        } else {
            factor = match factor {
                4 => 2,
                2 => 3,
                _ if factor * factor > len => len,
                _ => factor + 2,
            };
        }
    }
    found
}

#[expect(clippy::inline_always, reason = "these are the bodies of vectorised loops")]
impl<L: Lanes> Pass<'_, L> {
    /// Returns a number of a block, so many parts behind its first ones.
    #[inline(always)]
    fn number(&self, from: &[Complex], block: usize, part: usize, at: usize) -> Number<L::Reals> {
        from[at + self.stride * (block + self.span * part)].taken(self.lanes)
    }

    #[inline(always)]
    fn two(&self, from: &[Complex], to: &mut [Complex]) {
        let Self { turns, stride, .. } = *self;
        for (block, to) in to.chunks_exact_mut(2 * stride).enumerate() {
            let turn = turns[block * stride];
            for at in 0..stride {
                let (a, b) = (self.number(from, block, 0, at), self.number(from, block, 1, at));
                to[at] = a.plus(b).put();
                to[at + stride] = a.minus(b).turned(turn).put();
            }
        }
    }

    #[inline(always)]
    fn four(&self, from: &[Complex], to: &mut [Complex]) {
        let Self { turns, stride, .. } = *self;
        for (block, to) in to.chunks_exact_mut(4 * stride).enumerate() {
            let [one, two, three] = [1, 2, 3].map(|number| turns[block * number * stride]);
            for at in 0..stride {
                let (a, b) = (self.number(from, block, 0, at), self.number(from, block, 1, at));
                let (c, d) = (self.number(from, block, 2, at), self.number(from, block, 3, at));
                let (even, odd) = (a.plus(c), b.plus(d));
                let (across, turned) = (a.minus(c), b.minus(d).quarter());
                to[at] = even.plus(odd).put();
                to[at + stride] = across.plus(turned).turned(one).put();
                to[at + 2 * stride] = even.minus(odd).turned(two).put();
                to[at + 3 * stride] = across.minus(turned).turned(three).put();
            }
        }
    }

    /// Transforms `radix` numbers, which are an odd number, by pairs that lie as far from the first one on either side. The
    /// radix comes once more, so that it is known where the call is compiled, and with it memory for half as many.
    #[inline(always)]
    fn odd(
        &self,
        radix: usize,
        mut sums: impl AsMut<[Number<L::Reals>]>,
        mut differences: impl AsMut<[Number<L::Reals>]>,
        from: &[Complex],
        to: &mut [Complex],
    ) {
        let Self { turns, stride, .. } = *self;
        let (sums, differences) = (&mut sums.as_mut()[..radix / 2], &mut differences.as_mut()[..radix / 2]);
        // Of one circle in `radix` parts.
        let part_of = turns.len() / radix;
        for (block, to) in to.chunks_exact_mut(radix * stride).enumerate() {
            for at in 0..stride {
                let first = self.number(from, block, 0, at);
                let mut whole = first;
                for pair in 0..radix / 2 {
                    let one = self.number(from, block, pair + 1, at);
                    let other = self.number(from, block, radix - 1 - pair, at);
                    (sums[pair], differences[pair]) = (one.plus(other), one.minus(other));
                    whole = whole.plus(sums[pair]);
                }
                to[at] = whole.put();
                for number in 1..=radix / 2 {
                    let (mut along, mut across, mut part) = (first, Complex::default().taken(self.lanes), 0);
                    for pair in 0..radix / 2 {
                        part = if part + number >= radix { part + number - radix } else { part + number };
                        let (cos, sin) = turns[part * part_of];
                        along = along.plus_times(sums[pair], cos);
                        across = across.plus_times(differences[pair], sin);
                    }
                    let across = across.quarter();
                    to[at + number * stride] = along.plus(across).turned(turns[block * number * stride]).put();
                    let number = radix - number;
                    to[at + number * stride] = along.minus(across).turned(turns[block * number * stride]).put();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::lanes::Portable, *};

    fn transformed(signals: &[Complex]) -> Vec<Complex> {
        let (mut signals, mut spare) = (signals.to_vec(), signals.to_vec());
        Fourier::new(signals.len()).run(Portable, &mut signals, &mut spare);
        signals
    }

    /// The sum that defines it.
    fn expected(signals: &[Complex], number: usize, lane: usize) -> (f64, f64) {
        let len = signals.len();
        let (mut re, mut im) = (0.0, 0.0);
        for (at, signal) in signals.iter().enumerate() {
            let angle = TAU * (at * number % len) as f64 / len as f64;
            let (cos, sin) = (libm::cos(angle), libm::sin(angle));
            re += signal.re[lane] * cos + signal.im[lane] * sin;
            im += signal.im[lane] * cos - signal.re[lane] * sin;
        }
        (re, im)
    }

    fn signals(len: usize, seed: usize) -> Vec<Complex> {
        let value = |at: usize| ((at * 7919 + seed * 104_729) % 2003) as f64 / 1001.5 - 1.0;
        let complex = |at: usize| Complex {
            re: std::array::from_fn(|lane| value(at * 8 + lane)),
            im: std::array::from_fn(|lane| value(at * 8 + 4 + lane)),
        };
        (0..len).map(complex).collect()
    }

    fn check(len: usize, seed: usize) {
        let given = signals(len, seed);
        for (number, found) in transformed(&given).iter().enumerate() {
            for lane in 0..LANES {
                let (re, im) = expected(&given, number, lane);
                // Numbers below 1: each of len products and sums is off by a rounding of at most len * 2^-53.
                let most = (len * len) as f64 * 2.0_f64.powi(-51);
                assert!((found.re[lane] - re).abs() <= most && (found.im[lane] - im).abs() <= most, "{len} {number}");
            }
        }
    }

    #[test]
    fn usual_lengths_give_the_sum_that_defines_it() {
        for len in [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 25, 49, 64, 121, 400, 512, 551] {
            check(len, 1);
        }
    }

    proptest! {
        #[test]
        fn any_length_gives_the_sum_that_defines_it(len in 1_usize..200, seed in 0_usize..1000) {
            check(len, seed);
        }

        #[test]
        fn factors_multiply_to_the_length(len in 1_usize..100_000) {
            let found = factors(len);
            prop_assert_eq!(found.iter().product::<usize>(), len);
            let is_prime = |factor: usize| (2..factor).take_while(|n| n * n <= factor).all(|n| !factor.is_multiple_of(n));
            prop_assert!(found.iter().all(|&factor| factor == 4 || is_prime(factor)));
        }
    }
}
