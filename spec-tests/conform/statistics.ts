/** Tail probabilities for statistical laws, for integer degrees and counts. The relative error is below 1e-9. */

/**
 * P(X >= successes), where X is the number of successes in `trials` independent trials with probability `p` each. The
 * test is exact: a law that rejects below 1e-6 raises a false alarm in at most one of a million runs, even if the
 * counts are small.
 */
export function binomialTail(successes: number, trials: number, p: number): number {
  if (!Number.isSafeInteger(successes) || !Number.isSafeInteger(trials) || trials < 0 || !(p >= 0 && p <= 1)) {
    throw new RangeError(`No binomial distribution: ${successes} of ${trials} with probability ${p}`);
  }
  if (successes <= 0) return 1;
  if (successes > trials || p === 0) return 0;
  if (p === 1) return 1;
  // Sum on the side of the mean where the terms decrease. The other side is the complement.
  if (successes <= trials * p) return 1 - binomialTail(trials - successes + 1, trials, 1 - p);
  let logTerm = successes * Math.log(p) + (trials - successes) * Math.log1p(-p);
  for (let i = 1; i <= trials - successes; i++) logTerm += Math.log((successes + i) / i);
  let term = 1;
  let sum = 0;
  for (let k = successes; k <= trials && term > sum * 1e-17; k++) {
    sum += term;
    term *= ((trials - k) / (k + 1)) * (p / (1 - p));
  }
  return Math.min(1, Math.exp(logTerm) * sum);
}

/**
 * P(X >= x) for a chi-square distributed X: the p-value of Pearson's statistic and of the G statistic. Both follow that
 * distribution only approximately, and only if every expected count is large (say 10). For smaller counts use
 * `binomialTail`.
 */
export function chiSquareTail(x: number, degrees: number): number {
  if (!Number.isSafeInteger(degrees) || degrees < 1 || Number.isNaN(x))
    throw new RangeError(`No chi-square distribution: ${x} with ${degrees} degrees`);
  if (x <= 0) return 1;
  if (x === Infinity) return 0;
  const a = degrees / 2;
  const half = x / 2;
  // Both compute the regularized incomplete gamma function (Abramowitz and Stegun 6.5.29, 6.5.31), each in the range
  // where it converges fast.
  const scale = Math.exp(a * Math.log(half) - half - logGammaOfHalf(degrees));
  return half < a + 1 ? 1 - scale * lowerSeries(a, half) : scale * upperFraction(a, half);
}

function lowerSeries(a: number, x: number): number {
  let term = 1 / a;
  let sum = 0;
  for (let i = 1; term > sum * 1e-17; i++) {
    sum += term;
    term *= x / (a + i);
  }
  return sum;
}

/** The continued fraction, by the modified Lentz method. */
function upperFraction(a: number, x: number): number {
  let b = x + 1 - a;
  let c = Infinity;
  let d = 1 / b;
  let fraction = d;
  for (let i = 1, delta = 0; Math.abs(delta - 1) > 1e-16 && i < 10_000; i++) {
    const numerator = -i * (i - a);
    b += 2;
    d = 1 / (numerator * d + b);
    c = b + numerator / c;
    delta = c * d;
    fraction *= delta;
  }
  return fraction;
}

/** log Gamma(degrees / 2), by the recurrence down to Gamma(1) or Gamma(1/2). */
function logGammaOfHalf(degrees: number): number {
  let sum = degrees % 2 === 0 ? 0 : Math.log(Math.PI) / 2;
  for (let half = degrees / 2 - 1; half > 0; half--) sum += Math.log(half);
  return sum;
}
