/** The reconciliations of an account: what each has compared and found, and beginning one. */
import { getProviderAccountRoute } from "../../provider/accounts/routes/accounts";
import type { RunResponse } from "../../reconciliation/routes/run-schemas";
import { reconcileProviderAccountRoute } from "../../reconciliation/routes/runs";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Problem } from "../api";
import { Badge, countText, Time } from "../format";
import { kindText, RECONCILIATION_PATH } from "../reconciliation/explain";
import type { Tone } from "../tones";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { ACCOUNTS_PATH, providerText } from "./explain";

export const providerAccountRuns = newDashboardApp();

const SCOPES = ["providers:manage"] as const;
const PATH = `${ACCOUNTS_PATH}/:account/reconcile`;

const TONES: Readonly<Record<RunResponse["state"], Tone>> = { running: "waiting", done: "good", failed: "bad" };
const SOURCES: Readonly<Record<RunResponse["source"], string>> = { service: "the daily run", request: "on demand" };

interface RunsProps {
  readonly visit: Visit;
  readonly accountId: string;
  readonly runs: readonly RunResponse[];
}

/** The newest runs of an account. */
export function Runs({ visit, accountId, runs }: RunsProps) {
  return (
    <section class="card" aria-label="Reconciliation">
      <h2>Reconciliation</h2>
      <p class="hint">
        Once a day, and when you ask for it, what the provider lists is compared with what is here.
        {may(visit, "payments:read") && (
          <>
            {" "}
            <a href={`${RECONCILIATION_PATH}?${new URLSearchParams({ account: accountId })}`}>
              The open items of this account
            </a>
          </>
        )}
      </p>
      {runs.length === 0 ? (
        <p>No run yet.</p>
      ) : (
        <section class="scroll" tabindex={0} aria-label="Runs">
          <table>
            <thead>
              <tr>
                <th scope="col">Started</th>
                <th scope="col">State</th>
                <th scope="col">What was compared</th>
                <th scope="col">Found</th>
              </tr>
            </thead>
            <tbody>
              {runs.map((run) => (
                <tr>
                  <td>
                    <Time visit={visit} at={run.started_at} />
                    <br />
                    <span class="quiet-text">{SOURCES[run.source]}</span>
                  </td>
                  <td>
                    <Badge tone={TONES[run.state]} text={run.state} />
                    {run.failure !== null && <p class="hint">{run.failure}</p>}
                  </td>
                  <td>
                    {countText(visit, run.compared)} from <Time visit={visit} at={run.from} /> to{" "}
                    <Time visit={visit} at={run.to} />
                  </td>
                  <td>
                    <Found visit={visit} run={run} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

function Found({ visit, run: { state, items, differing } }: { visit: Visit; run: RunResponse }) {
  const found = Object.entries(items).filter(([, count]) => count > 0);
  if (found.length > 0) {
    return (
      <ul class="plain">
        {found.map(([kind, count]) => (
          <li>
            {countText(visit, count)} × {kindText(kind)}
          </li>
        ))}
      </ul>
    );
  }
  if (state !== "running") return <span>Nothing to look at</span>;
  return <span class="quiet-text">{countText(visit, differing)} differed, and are asked about again</span>;
}

async function showForm(visit: Visit, id: string, sent: URLSearchParams, refused: Problem | null): Promise<Shown> {
  const found = await visit.api.call(getProviderAccountRoute, { params: { account_id: id } });
  if (found.tag === "problem") return failed(found.problem, "Providers");
  const { name, provider } = found.data;
  const title = "Reconcile the account now";
  const path = `${ACCOUNTS_PATH}/${found.data.id}`;
  const field = (field: string, text: string) => (
    <label>
      {text}
      <input name={field} value={sent.get(field) ?? ""} placeholder="2026-01-16" autocomplete="off" />
    </label>
  );
  const content = (
    <ActionForm
      visit={visit}
      title={title}
      action={`${path}/reconcile`}
      back={path}
      submit="Reconcile"
      idempotencyKey={idempotencyKeyOf(sent)}
      refused={refused}
    >
      <p>
        What {providerText(provider)} has of <strong>{name}</strong> is compared with what is here, which takes some
        minutes. What still differs when it is asked about again becomes an item to look at.
      </p>
      {field("from", "From (UTC)")}
      {field("to", "Before (UTC)")}
      <p class="hint">Leave both empty to go on from the last daily run, up to now. At most 31 days.</p>
    </ActionForm>
  );
  return { title, section: "Providers", content, status: refused?.status ?? 200 };
}

view(providerAccountRuns, PATH, { scopes: SCOPES }, (visit, { param }) =>
  showForm(visit, param("account"), new URLSearchParams(), null),
);

form(providerAccountRuns, PATH, { scopes: SCOPES }, async (visit, { param, form: sent }) => {
  const id = param("account");
  const given = ["from", "to"].flatMap((name) => {
    const value = sent.get(name)?.trim() ?? "";
    return value === "" ? [] : [[name, value]];
  });
  const begun = await visit.api.call(reconcileProviderAccountRoute, {
    params: { account_id: id },
    body: Object.fromEntries(given),
    headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
  });
  if (begun.tag === "problem") return showForm(visit, id, sent, begun.problem);
  return done(`${ACCOUNTS_PATH}/${begun.data.account}`, "reconciliation_started");
});
