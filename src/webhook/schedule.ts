/** When a delivery that has failed is tried again. Pure; times in milliseconds. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The pause after the first failure, the second, and so on; after the last, a delivery is given up. */
export const RETRY_PAUSES_MS: readonly number[] = [
  ...[5 * SECOND, 30 * SECOND],
  ...[2, 5, 15, 30].map((minutes) => minutes * MINUTE),
  ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR),
];

/** How much longer than its step a pause may be: who failed at once is not asked again at once. */
const JITTER = 0.2;

/** No endpoint is waited for longer than this, whatever it asks for. */
const MAX_RETRY_AFTER_MS = 24 * HOUR;

/**
 * When a delivery is tried again that could not be signed, since the endpoint's secret could not be opened. That is no
 * failure of the endpoint, and counts as none.
 */
export const RETRY_UNSIGNED_AFTER_MS = 5 * MINUTE;

/** An endpoint that has only failed for so long is disabled. */
export const DISABLE_AFTER_FAILING_MS = 5 * 24 * HOUR;

/**
 * When the next attempt is due; null when the delivery is given up.
 *
 * @param failures how many attempts have failed in a row, this one included
 * @param retryAfter how long the endpoint has asked to be left alone
 * @param random from 0 to 1
 */
export function nextAttempt(failures: number, now: number, retryAfter: number | null, random: number): number | null {
  const pause = RETRY_PAUSES_MS[failures - 1];
  if (pause === undefined) return null;
  return now + Math.max(Math.round(pause * (1 + JITTER * random)), Math.min(retryAfter ?? 0, MAX_RETRY_AFTER_MS));
}

const HTTP_DATE = /^[A-Z][a-z]+, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT$/;
/** The oldest form, which is to be read too; it does not say that it is in GMT. */
const ASCTIME = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

/** Reads a `Retry-After` header: seconds, or an HTTP date (RFC 9110, section 10.2.3); null for what is neither. */
export function readRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  if (/^\d+$/.test(header)) return Number(header) * SECOND;
  if (!HTTP_DATE.test(header) && !ASCTIME.test(header)) return null;
  const at = Date.parse(ASCTIME.test(header) ? `${header} GMT` : header);
  return Number.isNaN(at) ? null : Math.max(at - now, 0);
}
