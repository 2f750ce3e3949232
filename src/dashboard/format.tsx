/** How the dashboard shows amounts, times, counts and statuses: in the reader's locale, exact on hover. */
import type { Status } from "../payment/lifecycle";
import { STATUS_TONES, type Tone } from "./tones";
import type { Visit } from "./visit";

const MAX_FORMATS = 100;
const formats = new Map<string, Intl.NumberFormat>();

/** A format is costly to make, and a page uses a few of them often. */
function numberFormat(locale: string, currency: string | null): Intl.NumberFormat {
  const name = `${locale} ${currency}`;
  const known = formats.get(name);
  if (known) return known;
  const made = new Intl.NumberFormat(locale, currency === null ? {} : { style: "currency", currency });
  if (formats.size >= MAX_FORMATS) formats.clear();
  formats.set(name, made);
  return made;
}

/** An amount in major units, as text in the reader's locale. */
export function moneyText({ locale }: Visit, amount: number, currency: string): string {
  return numberFormat(locale, currency).format(amount);
}

/** An amount in major units, with its currency's code on hover: several currencies have one sign. */
export function Money({ visit, amount, currency }: { visit: Visit; amount: number; currency: string }) {
  return (
    <data class="money" value={String(amount)} title={`${amount} ${currency}`}>
      {moneyText(visit, amount, currency)}
    </data>
  );
}

/** A count, as text in the reader's locale. */
export function countText({ locale }: Visit, count: number): string {
  return numberFormat(locale, null).format(count);
}

/** A share of one, as a percentage in the reader's locale. */
export function percentText({ locale }: Visit, share: number): string {
  return new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 }).format(share);
}

/** A count with what is counted: 1 refund, 5 refunds. */
export function countedText(visit: Visit, count: number, one: string): string {
  return `${countText(visit, count)} ${one}${count === 1 ? "" : "s"}`;
}

const dates = new Map<string, Intl.DateTimeFormat>();

function dateFormat(locale: string): Intl.DateTimeFormat {
  const known = dates.get(locale);
  if (known) return known;
  const made = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  if (dates.size >= MAX_FORMATS) dates.clear();
  dates.set(locale, made);
  return made;
}

/**
 * A time. The server knows the reader's locale and not their zone: it writes UTC and says so, and dashboard.js
 * rewrites it in the zone of the browser. UTC is shown on hover either way.
 *
 * @param at RFC 3339, in UTC
 */
export function Time({ visit, at }: { visit: Visit; at: string }) {
  const text = dateFormat(visit.locale).format(new Date(at));
  return (
    <time datetime={at} title={`${at.replace("T", " ").replace(/(\.\d+)?Z$/, "")} UTC`}>
      {text} UTC
    </time>
  );
}

/** `requires_action` as people write it. */
export const words = (name: string): string => name.replaceAll(/[_.]/g, " ");

/** A short word on a ground whose colour repeats what it says. */
export function Badge({ tone, text }: { tone: Tone; text: string }) {
  return <span class={`badge ${tone}`}>{words(text)}</span>;
}

/** The status of a payment. */
export function StatusBadge({ status }: { status: Status }) {
  return <Badge tone={STATUS_TONES[status]} text={status} />;
}
