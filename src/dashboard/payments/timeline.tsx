/** What has happened to a payment, newest first: what, who, why. */
import type { z } from "@hono/zod-openapi";
import type { PaymentEventType } from "../../outbox/event-types";
import type { PaymentEventSchema } from "../../payment/routes/event-schemas";
import { Money, Time, words } from "../format";
import type { Tone } from "../tones";
import { may, type Visit } from "../visit";

export type PaymentEventResponse = z.output<typeof PaymentEventSchema>;

/** What an event means for whoever waits for the money; the others are told without a colour. */
const TONES: Partial<Record<PaymentEventType, Tone>> = {
  "payment.requires_action": "waiting",
  "payment.processing": "waiting",
  "payment.authorized": "waiting",
  "payment.confirmed": "good",
  "payment.failed": "bad",
  "payment.expired": "bad",
  "payment.refunded": "good",
  "refund.created": "waiting",
  "refund.succeeded": "good",
  "refund.failed": "bad",
  "dispute.opened": "bad",
  "reconciliation.item_opened": "bad",
};

/** What an event is called: `payment.requires_action` is "Requires action", `refund.failed` "Refund failed". */
export function eventTitle(type: string): string {
  const text = words(type.replace(/^payment\./, ""));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function Timeline({ visit, events }: { visit: Visit; events: readonly PaymentEventResponse[] }) {
  return (
    <section class="card" aria-label="Timeline">
      <h2>Timeline</h2>
      <ol class="timeline" reversed>
        {events.toReversed().map((event) => (
          <li class={TONES[event.type]}>
            <strong>{eventTitle(event.type)}</strong>
            <span class="quiet-text">
              {" "}
              · <Time visit={visit} at={event.timestamp} /> · <Who visit={visit} event={event} />
            </span>
            <What visit={visit} event={event} />
            <Why event={event} />
            <details id={event.id}>
              <summary class="hint">Details</summary>
              <dl class="facts">
                <dt>Event</dt>
                <dd>
                  <code>{event.id}</code>
                </dd>
                <dt>Request</dt>
                <dd>
                  <code>{event.request_id}</code>
                </dd>
                {event.idempotency_key !== null && (
                  <>
                    <dt>Idempotency key</dt>
                    <dd>
                      <code>{event.idempotency_key}</code>
                    </dd>
                  </>
                )}
              </dl>
            </details>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** Who did it: a key, the clock, the provider, or a request that needs no key. */
export function Who({ visit, event }: { visit: Visit; event: PaymentEventResponse }) {
  const { key_id: key, type, data, idempotency_key } = event;
  if (key !== null) {
    const name = <code>pay_{key}_…</code>;
    return <>by key {may(visit, "keys:manage") ? <a href={`/dashboard/keys/${key}`}>{name}</a> : name}</>;
  }
  if (type === "payment.expired") return <>by the clock</>;
  const isAsked = data.provider === "internal" || idempotency_key !== null || type === "payment.created";
  return <>{isAsked || type === "payment.updated" ? "by a request without a key" : "by the provider"}</>;
}

const REFUNDED = { pending: "to be given back", succeeded: "given back", failed: "not given back" } as const;

/** What an event changed, in words: amounts and texts. */
function What({ visit, event }: { visit: Visit; event: PaymentEventResponse }) {
  const { data, previous, refund, dispute } = event;
  const amount = (value: number) => <Money visit={visit} amount={value} currency={data.currency} />;
  const changes = changedTexts(event);
  return (
    <>
      {refund !== null && (
        <p>
          {amount(refund.amount)} {REFUNDED[refund.status]}
        </p>
      )}
      {refund === null && "amount_captured" in previous && <p>{amount(data.amount_captured)} captured</p>}
      {refund === null && "amount_refunded" in previous && (
        <p>
          {amount(data.amount_refunded)} of {amount(data.amount_captured)} given back
        </p>
      )}
      {dispute !== null && (
        <p>
          {amount(dispute.amount)} disputed: {dispute.state}
        </p>
      )}
      {changes.length > 0 && (
        <ul class="changes">
          {changes.map(({ name, before, after }) => (
            <li>
              {name}: {before === null ? "" : <del>{before}</del>} {after === null ? "removed" : <ins>{after}</ins>}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

/** Why, as far as somebody said: a failure, a reason, what a person has to look at. */
function Why({
  event: { data, previous, refund, dispute, reconciliation_item: item },
}: {
  event: PaymentEventResponse;
}) {
  const failure = refund?.failure ?? ("failure" in previous ? data.failure : null);
  const reasons = [failure?.message, refund?.reason, dispute?.reason, item && `${words(item.kind)}: ${item.detail}`];
  const said = reasons.filter((reason) => reason !== null && reason !== undefined);
  return (
    <>
      {said.map((reason) => (
        <p class="as-written">{reason}</p>
      ))}
    </>
  );
}

interface ChangedText {
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** The texts that an event changed. */
function changedTexts({ type, data, previous }: PaymentEventResponse): readonly ChangedText[] {
  if (type !== "payment.updated") return [];
  const text = (value: unknown) => (typeof value === "string" ? value : null);
  const description =
    "description" in previous
      ? [{ name: "Description", before: text(previous.description), after: data.description }]
      : [];
  const old: object = typeof previous.metadata === "object" ? (previous.metadata ?? {}) : data.metadata;
  const names = [...new Set([...Object.keys(old), ...Object.keys(data.metadata)])];
  const pairs = names.map((name) => ({
    name,
    before: Object.hasOwn(old, name) ? text(Reflect.get(old, name)) : null,
    after: data.metadata[name] ?? null,
  }));
  return [...description, ...pairs.filter(({ before, after }) => before !== after)];
}
