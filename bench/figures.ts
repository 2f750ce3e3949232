/** How figures are summed up and written. */

/** The middle one of some figures; of an even number of them, the upper of the two in the middle. */
export function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
}

/** The figure that a share `q` of the figures does not exceed. */
export function quantile(figures: readonly number[], q: number): number {
  const sorted = Float64Array.from(figures).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Whether a figure keeps to a target, as the tables say it. */
export function verdict(holds: boolean): string {
  return holds ? "yes" : "**no**";
}
