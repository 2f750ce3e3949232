/** How a payment's money moved: what was asked of its provider, refunds, disputes, and what does not agree. */
import type { z } from "@hono/zod-openapi";
import type { listOperationsRoute } from "../../operation/routes/provider";
import type { RefundSchema } from "../../payment/routes/refund-schemas";
import { RECONCILIATION } from "../../provider/reconciliation";
import type { Answer } from "../api";
import { Deadline, type DisputeAnswer, DisputeState, isAnswerable, STATE_MEANINGS } from "../disputes/deadline";
import { Badge, countText, Money, Time, words } from "../format";
import { type ItemAnswer, itemPath, kindText } from "../reconciliation/explain";
import type { Tone } from "../tones";
import type { Visit } from "../visit";

type Operation = Answer<typeof listOperationsRoute>["data"][number];
type Refund = z.output<typeof RefundSchema>;

const REFUND_TONES: Readonly<Record<Refund["status"], Tone>> = { pending: "waiting", succeeded: "good", failed: "bad" };

export function Refunds({ visit, refunds }: { visit: Visit; refunds: readonly Refund[] }) {
  if (refunds.length === 0) return null;
  return (
    <section class="card" aria-label="Refunds">
      <h2>Refunds</h2>
      <div class="scroll" tabindex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">Refund</th>
              <th scope="col" class="number">
                Amount
              </th>
              <th scope="col">Status</th>
              <th scope="col">Reason</th>
              <th scope="col">Created</th>
            </tr>
          </thead>
          <tbody>
            {refunds.map((refund) => (
              <tr>
                <th scope="row">
                  <code>{refund.id}</code>
                </th>
                <td class="number">
                  <Money visit={visit} amount={refund.amount} currency={refund.currency} />
                </td>
                <td>
                  <Badge tone={REFUND_TONES[refund.status]} text={refund.status} />
                  {refund.failure !== null && <p>{refund.failure.message}</p>}
                </td>
                <td>{refund.reason ?? <span class="quiet-text">None given</span>}</td>
                <td>
                  <Time visit={visit} at={refund.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const OPERATION_TONES: Readonly<Record<Operation["state"], Tone>> = {
  open: "waiting",
  unknown: "waiting",
  pending: "waiting",
  succeeded: "good",
  declined: "bad",
  failed: "bad",
};

const SOURCES: Readonly<Record<Operation["source"], string>> = {
  request: "A request",
  expiry: "The clock",
  provider: "Somebody at the provider",
};

/** What was asked of the provider. A payment that settles at once has nothing of that. */
export function Operations(props: { visit: Visit; currency: string; operations: readonly Operation[] }) {
  const { visit, currency, operations } = props;
  if (operations.length === 0) return null;
  return (
    <section class="card" aria-label="At the provider">
      <h2>At the provider</h2>
      <div class="scroll" tabindex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">Asked for</th>
              <th scope="col" class="number">
                Amount
              </th>
              <th scope="col">State</th>
              <th scope="col">By</th>
              <th scope="col">Calls</th>
            </tr>
          </thead>
          <tbody>
            {operations.toReversed().map((operation) => (
              <tr>
                <th scope="row">{words(operation.kind)}</th>
                <td class="number">
                  <Money visit={visit} amount={operation.amount} currency={currency} />
                </td>
                <td>
                  <Badge tone={OPERATION_TONES[operation.state]} text={operation.state} />
                  {operation.failure !== null && <p>{operation.failure.message}</p>}
                  {operation.due_at !== null && (
                    <p class="hint">
                      Asked again at <Time visit={visit} at={operation.due_at} />
                    </p>
                  )}
                </td>
                <td>
                  {SOURCES[operation.source]}
                  <br />
                  <span class="quiet-text">
                    <Time visit={visit} at={operation.created_at} />
                  </span>
                </td>
                <td>
                  <Calls visit={visit} operation={operation} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Calls({ visit, operation: { number, attempts } }: { visit: Visit; operation: Operation }) {
  if (attempts.length === 0) return <span class="quiet-text">None</span>;
  return (
    <details id={`operation-${number}`}>
      <summary>
        {countText(visit, attempts.length)} {attempts.length === 1 ? "call" : "calls"}
      </summary>
      <ol>
        {attempts.map(({ at, call, outcome }) => (
          <li>
            <Time visit={visit} at={at} />: {call}, {words(outcome)}
          </li>
        ))}
      </ol>
    </details>
  );
}

export function Disputes({ visit, disputes }: { visit: Visit; disputes: readonly DisputeAnswer[] }) {
  if (disputes.length === 0) return null;
  return (
    <section class="card" aria-label="Disputes">
      <h2>Disputes</h2>
      {disputes.map((dispute) => (
        <p>
          <DisputeState state={dispute.state} />{" "}
          <Money visit={visit} amount={dispute.amount} currency={dispute.currency} />
          {dispute.reason !== null && `: ${words(dispute.reason)}`}, since{" "}
          <Time visit={visit} at={dispute.created_at} />. {STATE_MEANINGS[dispute.state]}
          {dispute.due_at !== null && isAnswerable(dispute) && (
            <>
              {" Evidence is taken at the provider until then: "}
              <Deadline visit={visit} dispute={dispute} />
            </>
          )}{" "}
          <code>{dispute.reference}</code>
        </p>
      ))}
    </section>
  );
}

/** What the provider says otherwise, and nobody has resolved yet. */
export function Differences({ visit, items }: { visit: Visit; items: readonly ItemAnswer[] }) {
  if (items.length === 0) return null;
  return (
    <section class="card failure" aria-label="Look at this">
      <h2>The provider says something else</h2>
      {items.map((item) => (
        <p>
          <a href={itemPath(item.id)}>{kindText(item.kind)}</a>: {item.detail},{" "}
          <Time visit={visit} at={item.created_at} />. {RECONCILIATION[item.kind].remedy}
        </p>
      ))}
    </section>
  );
}
