/** How figures are summed up and written. */

/** The middle one of some figures; of an even number of them, the upper of the two in the middle. */
export function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
}

/** The median of one field. */
export function medianOf<Field extends string>(runs: readonly Record<Field, number>[], field: Field): number {
  return median(runs.map((run) => run[field]));
}

/** Whether a figure keeps to a target, as the tables say it. */
export function verdict(holds: boolean): string {
  return holds ? "yes" : "**no**";
}
