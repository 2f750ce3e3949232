/** When a provider that gave no answer is asked again. */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const PAUSES_MS = [SECOND_MS, 5 * SECOND_MS, 30 * SECOND_MS, 2 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS] as const;
const LAST_PAUSE_MS = 6 * HOUR_MS;

/**
 * The pause before the provider is asked again about an operation, in milliseconds. There is no last attempt.
 *
 * @param attempts how many times it was asked without an answer, 1 or more
 */
export function backoffMs(attempts: number): number {
  return PAUSES_MS[Math.max(attempts, 1) - 1] ?? LAST_PAUSE_MS;
}
