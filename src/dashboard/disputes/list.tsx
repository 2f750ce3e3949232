/** Disputes: those that can still be answered by their deadline, then those that are decided. */
import { listDisputesRoute } from "../../operation/routes/provider";
import { Money, Time, words } from "../format";
import { Heading } from "../layout";
import { Pager } from "../pager";
import { failed, newDashboardApp, Refusal, view } from "../view";
import type { Visit } from "../visit";
import { Deadline, type DisputeAnswer, DisputeState, isAnswerable, STATE_MEANINGS } from "./deadline";

export const disputeList = newDashboardApp();

const DISPUTES_PATH = "/dashboard/disputes";
const SECTION = "Disputes";
/** Those to answer are shown on one page up to here, the most urgent ones. */
const MAX_TO_ANSWER = 100;

view(disputeList, DISPUTES_PATH, { scopes: ["payments:read"] }, async (visit, { query }) => {
  const cursor = query.get("cursor") ?? undefined;
  // Begun together: one round trip to D1.
  const [open, decided] = await Promise.all([
    visit.api.call(listDisputesRoute, { query: { sort: "due_at", limit: String(MAX_TO_ANSWER) } }),
    visit.api.call(listDisputesRoute, { query: { state: ["won", "lost"], cursor } }),
  ]);
  if (open.tag === "problem") return failed(open.problem, SECTION);
  const toAnswer = open.data.data;
  const rows = decided.tag === "ok" ? decided.data.data : [];
  const isNone = toAnswer.length === 0 && rows.length === 0 && cursor === undefined && decided.tag === "ok";
  const content = (
    <>
      <Heading title="Disputes" />
      {isNone ? (
        <NoDisputes />
      ) : (
        <>
          <section class="card" id="to-answer" aria-label="To answer" data-live data-poll-ms="30000">
            <h2>To answer</h2>
            {toAnswer.length === 0 ? (
              <p class="hint">None: every dispute is decided.</p>
            ) : (
              <>
                <p class="hint">
                  Submit your evidence in the provider's own dashboard before the deadline: a dispute that nobody
                  answers is lost. The outcome appears here once the provider has decided.
                </p>
                <DisputeTable visit={visit} rows={toAnswer} label="To answer" />
                {open.data.has_more && (
                  <p class="hint">These {MAX_TO_ANSWER} are the most urgent; more follow once they are decided.</p>
                )}
              </>
            )}
          </section>
          <section class="card" aria-label="Decided">
            <h2>Decided</h2>
            {decided.tag === "problem" && <Refusal problem={decided.problem} />}
            {decided.tag === "ok" && rows.length === 0 && <p class="hint">None yet.</p>}
            {rows.length > 0 && <DisputeTable visit={visit} rows={rows} label="Decided" />}
          </section>
          <Pager path={DISPUTES_PATH} query={query} next={decided.tag === "ok" ? decided.data.next_cursor : null} />
        </>
      )}
    </>
  );
  const status = decided.tag === "ok" ? 200 : decided.problem.status;
  return { title: "Disputes", section: SECTION, content, status };
});

function NoDisputes() {
  return (
    <div class="card empty">
      <h2>No dispute</h2>
      <p>
        When a payer objects to a payment at their bank, the dispute appears here with its deadline. Evidence is
        submitted in the provider's dashboard.
      </p>
    </div>
  );
}

function DisputeTable({ visit, rows, label }: { visit: Visit; rows: readonly DisputeAnswer[]; label: string }) {
  return (
    <section class="scroll" tabindex={0} aria-label={`${label}: the disputes`}>
      <table>
        <thead>
          <tr>
            <th scope="col">Payment</th>
            <th scope="col">Deadline</th>
            <th scope="col" class="number">
              Amount
            </th>
            <th scope="col">State</th>
            <th scope="col">Reason</th>
            <th scope="col">Opened</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((dispute) => (
            <tr>
              <th scope="row">
                <a href={`/dashboard/payments/${dispute.payment_id}`}>Payment {dispute.payment_id}</a>
                <br />
                <code class="quiet-text">{dispute.reference}</code>
              </th>
              <td>
                <Deadline visit={visit} dispute={dispute} />
              </td>
              <td class="number">
                <Money visit={visit} amount={dispute.amount} currency={dispute.currency} />
              </td>
              <td>
                <DisputeState state={dispute.state} />
                {isAnswerable(dispute) && <p class="hint">{STATE_MEANINGS[dispute.state]}</p>}
              </td>
              <td>{dispute.reason === null ? <span class="quiet-text">–</span> : words(dispute.reason)}</td>
              <td>
                <Time visit={visit} at={dispute.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
