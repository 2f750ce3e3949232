/** The sandbox: what its ledger has of the merchant, and what each token does. */
import { listSandboxPaymentsRoute } from "../../sandbox/routes/payments";
import { TOKENS } from "../../sandbox/tokens";
import type { Answer } from "../api";
import { Badge, Money, Time, words } from "../format";
import { Heading } from "../layout";
import { Pager } from "../pager";
import type { Tone } from "../tones";
import { failed, newDashboardApp, view } from "../view";
import type { Visit } from "../visit";

export const sandboxLedger = newDashboardApp();

const PATH = "/dashboard/sandbox";

/** Enough of an id to tell it from the others of a page. */
const SHOWN_ID_LENGTH = 13;

type LedgerPayment = Answer<typeof listSandboxPaymentsRoute>["data"][number];

const TONES: Readonly<Record<LedgerPayment["status"], Tone>> = {
  unconfirmed: "waiting",
  requires_action: "waiting",
  processing: "waiting",
  authorized: "waiting",
  captured: "good",
  declined: "bad",
  cancelled: "over",
  expired: "over",
};

view(sandboxLedger, PATH, { scopes: ["payments:read"] }, async (visit, { query }) => {
  const cursor = query.get("cursor") ?? undefined;
  const listed = await visit.api.call(listSandboxPaymentsRoute, { query: { cursor } });
  if (listed.tag === "problem") return failed(listed.problem, "Sandbox");
  const { data: rows, next_cursor } = listed.data;
  const content = (
    <>
      <Heading title="Sandbox" />
      <p class="quiet-text">
        A provider that moves no money and behaves like the worst real one. This is its own side of each payment, which
        the service learns only by asking.
      </p>
      {rows.length === 0 ? <Empty visit={visit} /> : <Ledger visit={visit} rows={rows} />}
      <Pager path={PATH} query={query} next={next_cursor} />
      <Tokens />
    </>
  );
  return { title: "Sandbox", section: "Sandbox", content };
});

function Empty({ visit }: { visit: Visit }) {
  const payments = `${new URL(visit.c.req.url).origin}/api/v1/payments`;
  const key = visit.isOpenMode ? "" : " -H 'Authorization: Bearer pay_…'";
  const post = (path: string, body: object) =>
    `curl ${payments}${path}${key} -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
  return (
    <div class="card">
      <h2>No payment at the sandbox yet</h2>
      <p>Make one, then confirm it under its id with a token of those below:</p>
      <pre tabindex={0}>
        {post("", { order_id: 1, amount: 12.34, currency: "EUR", provider: "sandbox" })}
        {"\n\n"}
        {post("/ID/confirm", { payment_method: "test_ok" })}
      </pre>
    </div>
  );
}

function Ledger({ visit, rows }: { visit: Visit; rows: readonly LedgerPayment[] }) {
  return (
    <div class="card scroll" id="ledger" data-live data-poll-ms="10000">
      <table>
        <thead>
          <tr>
            <th scope="col">Payment</th>
            <th scope="col">Status there</th>
            <th scope="col" class="number">
              Amount
            </th>
            <th scope="col" class="number">
              Captured
            </th>
            <th scope="col">Token</th>
            <th scope="col">What moved</th>
            <th scope="col">Created</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((payment) => (
            <tr>
              <th scope="row">
                {payment.payment_id === null ? (
                  "–"
                ) : (
                  <a href={`/dashboard/payments/${payment.payment_id}`}>Payment {payment.payment_id}</a>
                )}
                <br />
                <code class="quiet-text" title={payment.id}>
                  {payment.id.slice(0, SHOWN_ID_LENGTH)}…
                </code>
              </th>
              <td>
                <Badge tone={TONES[payment.status]} text={payment.status} />
                {payment.failure !== null && <p class="hint">{payment.failure.message}</p>}
              </td>
              <td class="number">
                <Money visit={visit} amount={payment.amount} currency={payment.currency} />
              </td>
              <td class="number">
                <Money visit={visit} amount={payment.amount_captured} currency={payment.currency} />
              </td>
              <td>{payment.payment_method === null ? "–" : <code>{payment.payment_method}</code>}</td>
              <td>
                <Movements visit={visit} payment={payment} />
              </td>
              <td>
                <Time visit={visit} at={payment.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const PART_TONES = { pending: "waiting", succeeded: "good", failed: "bad" } as const;
const DISPUTE_TONES = { inquiry: "waiting", open: "waiting", won: "good", lost: "bad" } as const;

function Movements({ visit, payment }: { visit: Visit; payment: LedgerPayment }) {
  const { captures, refunds, disputes } = payment;
  const moved = [
    ...captures.map(({ amount, status }) => ({ what: "Capture", amount, status, tone: PART_TONES[status] })),
    ...refunds.map(({ amount, status }) => ({ what: "Refund", amount, status, tone: PART_TONES[status] })),
    ...disputes.map(({ amount, status }) => ({ what: "Dispute", amount, status, tone: DISPUTE_TONES[status] })),
  ];
  if (moved.length === 0) return <span>–</span>;
  return (
    <ul class="plain">
      {moved.map(({ what, amount, status, tone }) => (
        <li>
          {what} of <Money visit={visit} amount={amount} currency={payment.currency} />{" "}
          <Badge tone={tone} text={status} />
        </li>
      ))}
    </ul>
  );
}

function Tokens() {
  const groups = Map.groupBy(Object.entries(TOKENS), ([, { group }]) => group);
  return (
    <div class="card">
      <h2>Tokens</h2>
      <p class="hint">What a payment is confirmed with decides what happens to it.</p>
      {[...groups].map(([group, tokens]) => (
        <details open={group === "outcome"}>
          <summary>{words(GROUPS[group])}</summary>
          <dl class="facts tokens">
            {tokens.map(([token, { does }]) => (
              <>
                <dt>
                  <code>{token}</code>
                </dt>
                <dd>{does}</dd>
              </>
            ))}
          </dl>
        </details>
      ))}
    </div>
  );
}

const GROUPS: Readonly<Record<(typeof TOKENS)[keyof typeof TOKENS]["group"], string>> = {
  outcome: "Succeeds or is declined",
  action: "Asks the payer",
  delay: "Takes its time",
  fault: "Goes wrong between the sandbox and the service",
  notification: "Notifies in another way",
  afterwards: "Changes afterwards",
};
