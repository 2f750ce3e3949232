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

/** An operation that is not settled, as far as the next look goes by it; times in milliseconds. */
interface Unsettled {
  readonly state: string;
  readonly due_at: number | null;
  /** How often it was looked at when it was due. */
  readonly attempted: number;
}

/**
 * When the provider is asked again about what its word has left as it was, in milliseconds. Whoever looks earlier, for somebody
 * has asked, does not put off what is due: the pauses would soon be longer than the provider keeps keys.
 */
export function nextLook(now: number, { state, due_at, attempted }: Unsettled, retryAfterMs: number | null): number {
  // The time that an operation has to be sent in is no pause.
  const isBeingSent = state === "open" && attempted === 0;
  const isEarly = !isBeingSent && due_at !== null && due_at > now;
  const pause = now + backoffMs(attempted + 1);
  return Math.max(isEarly ? Math.min(due_at, pause) : pause, now + (retryAfterMs ?? 0));
}
