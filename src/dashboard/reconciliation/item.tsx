/** One reconciliation item, and resolving it. */
import { RECONCILIATION } from "../../provider/reconciliation";
import { getReconciliationItemRoute, resolveReconciliationItemRoute } from "../../reconciliation/routes/items";
import { ActionForm } from "../action-form";
import type { Problem } from "../api";
import { Time } from "../format";
import { Heading } from "../layout";
import { AccountLink } from "../providers/explain";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { About, type ItemAnswer, ItemState, itemPath, kindText, RECONCILIATION_PATH } from "./explain";

export const reconciliationItem = newDashboardApp();

const SECTION = "Reconciliation";
const PATH = `${RECONCILIATION_PATH}/:item`;

const find = (visit: Visit, id: string) => visit.api.call(getReconciliationItemRoute, { params: { item_id: id } });

view(reconciliationItem, PATH, { scopes: ["payments:read"] }, async (visit, { param }) => {
  const found = await find(visit, param("item"));
  if (found.tag === "problem") return failed(found.problem, SECTION);
  const item = found.data;
  const { means, remedy } = RECONCILIATION[item.kind];
  const content = (
    <>
      <p class="crumbs">
        <a href={RECONCILIATION_PATH}>Reconciliation</a> / {item.id}
      </p>
      <Heading
        title={
          <>
            {kindText(item.kind)} <ItemState state={item.state} />
          </>
        }
      >
        {item.state === "open" && may(visit, "payments:write") && (
          <a class="button" href={`${itemPath(item.id)}/resolve`} data-opens-dialog>
            Resolve
          </a>
        )}
      </Heading>
      <div class={item.state === "open" ? "card failure" : "card"}>
        <p>
          <strong>{item.detail}</strong>
        </p>
        <p>{means}</p>
        {item.state === "open" && (
          <>
            <h2>What to do</h2>
            <p>{remedy}</p>
            <p class="hint">Then resolve the item, and say what you found out or did.</p>
          </>
        )}
      </div>
      <Facts visit={visit} item={item} />
    </>
  );
  return { title: `${kindText(item.kind)} ${item.id}`, section: SECTION, content };
});

function Facts({ visit, item }: { visit: Visit; item: ItemAnswer }) {
  const { account, created_at, resolved_at, resolved_by, resolution } = item;
  return (
    <section class="card" aria-label="Facts">
      <dl class="facts">
        <dt>About</dt>
        <dd>
          <About item={item} />
        </dd>
        <dt>Account</dt>
        <dd>
          <AccountLink visit={visit} id={account} />
        </dd>
        <dt>Found</dt>
        <dd>
          <Time visit={visit} at={created_at} />
        </dd>
        {resolved_at !== null && (
          <>
            <dt>Resolved</dt>
            <dd>
              <Time visit={visit} at={resolved_at} /> by{" "}
              {resolved_by === null ? "somebody in open mode" : <code>pay_{resolved_by}_…</code>}
            </dd>
            <dt>Why</dt>
            <dd class="as-written">{resolution}</dd>
          </>
        )}
      </dl>
    </section>
  );
}

const MAX_LENGTH = 500;

async function showForm(visit: Visit, id: string, sent: URLSearchParams, refused: Problem | null): Promise<Shown> {
  const found = await find(visit, id);
  if (found.tag === "problem") return failed(found.problem, SECTION);
  const item = found.data;
  // Somebody else was faster: their reason stands on its page.
  if (item.state === "resolved") return done(itemPath(item.id), "item_was_resolved");
  const title = "Resolve the item";
  const content = (
    <ActionForm
      visit={visit}
      title={title}
      action={`${itemPath(item.id)}/resolve`}
      back={itemPath(item.id)}
      submit="Resolve"
      refused={refused}
    >
      <p>
        <strong>{kindText(item.kind)}</strong>: {item.detail}
      </p>
      <p class="hint">{RECONCILIATION[item.kind].remedy}</p>
      <label>
        Why it is resolved
        <textarea name="resolution" required maxlength={MAX_LENGTH} rows={3}>
          {sent.get("resolution") ?? ""}
        </textarea>
      </label>
      <p class="hint">
        Kept with the item, and in the account trail with your key. No payment is changed by it. If something else is
        found later, the item is open again.
      </p>
    </ActionForm>
  );
  return { title, section: SECTION, content, status: refused?.status ?? 200 };
}

view(reconciliationItem, `${PATH}/resolve`, { scopes: ["payments:write"] }, (visit, { param }) =>
  showForm(visit, param("item"), new URLSearchParams(), null),
);

form(reconciliationItem, `${PATH}/resolve`, { scopes: ["payments:write"] }, async (visit, { param, form: sent }) => {
  const id = param("item");
  // A form sends each line with both characters of its end.
  const resolution = (sent.get("resolution") ?? "").replaceAll("\r\n", "\n").trim();
  const resolved = await visit.api.call(resolveReconciliationItemRoute, {
    params: { item_id: id },
    body: { resolution },
  });
  if (resolved.tag === "problem") return showForm(visit, id, sent, resolved.problem);
  return done(itemPath(resolved.data.id), "item_resolved");
});
