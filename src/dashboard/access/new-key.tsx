/** Making an API key, which is shown once. */
import { createApiKeyRoute, type rollApiKeyRoute } from "../../account/routes/api-keys";
import { SCOPE_NAMES, SCOPES, type Scope } from "../../scopes";
import { ActionForm, idempotencyKeyOf, ShownOnce } from "../action-form";
import type { Answer, Problem } from "../api";
import { form, newDashboardApp, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { KEY_SCOPES, KEYS } from "./keys";
import { chosenMerchant, MerchantField, merchantsFor, withMerchant } from "./merchant-choice";

export const newKeys = newDashboardApp();

/** The scopes that the visitor may give: no key has more than the key that creates it. */
const grantable = (visit: Visit): readonly Scope[] =>
  may(visit, "admin") ? SCOPE_NAMES : SCOPE_NAMES.filter((scope) => may(visit, scope));

async function show(visit: Visit, sent: URLSearchParams, refused: Problem | null): Promise<Shown> {
  const merchants = await merchantsFor(visit);
  const title = "Create an API key";
  const content = (
    <ActionForm
      visit={visit}
      title={title}
      action={`${KEYS}/new`}
      back={withMerchant(KEYS, sent.get("merchant_id") ?? undefined)}
      submit="Create the key"
      idempotencyKey={idempotencyKeyOf(sent)}
      refused={refused}
    >
      {may(visit, "admin") && <MerchantField merchants={merchants} value={sent.get("merchant_id") ?? ""} />}
      <label>
        Name
        <input name="name" required maxlength={100} value={sent.get("name") ?? ""} placeholder="Order service" />
      </label>
      <fieldset>
        <legend>What it may do</legend>
        {grantable(visit).map((scope) => (
          <label class="choice">
            <input type="checkbox" name="scopes" value={scope} checked={sent.getAll("scopes").includes(scope)} />
            <span>
              {SCOPES[scope]} <code class="quiet-text">{scope}</code>
            </span>
          </label>
        ))}
      </fieldset>
      <label>
        Ends at the beginning of (UTC)
        <input name="expires_at" type="date" value={sent.get("expires_at") ?? ""} />
      </label>
      <p class="hint">Without a date it ends when somebody revokes it.</p>
    </ActionForm>
  );
  return { title, section: "API keys", content, status: refused?.status ?? 200 };
}

view(newKeys, `${KEYS}/new`, { scopes: KEY_SCOPES }, (visit, { query }) => {
  const { merchantId } = chosenMerchant(visit, query);
  const own = visit.principal.merchantId;
  const prefilled = new URLSearchParams({ merchant_id: merchantId ?? (own > 0 ? String(own) : "") });
  return show(visit, prefilled, null);
});

form(newKeys, `${KEYS}/new`, { scopes: KEY_SCOPES }, async (visit, { form: sent }) => {
  const [endsAt, merchantId] = [sent.get("expires_at") ?? "", sent.get("merchant_id")];
  const created = await visit.api.call(createApiKeyRoute, {
    body: {
      name: sent.get("name") ?? "",
      scopes: sent.getAll("scopes"),
      ...(endsAt !== "" && { expires_at: endsAt }),
      ...(may(visit, "admin") && merchantId !== null && { merchant_id: Number(merchantId) }),
    },
    headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
  });
  if (created.tag === "problem") return show(visit, sent, created.problem);
  return newKeyPage("The key is created", created.data);
});

/** The page that shows a key this once. */
export function newKeyPage(
  title: string,
  made: Answer<typeof createApiKeyRoute> | Answer<typeof rollApiKeyRoute>,
): Shown {
  const key = "key" in made ? made.key : null;
  const content = (
    <div class="card stacked action">
      <h1>{title}</h1>
      {key === null ? (
        <p>This form was sent before, and the key was shown then. If it was not kept, roll it.</p>
      ) : (
        <>
          <p>Copy it now, and put it where the program finds it: it is shown this once, and stored nowhere.</p>
          <ShownOnce label="API key" text={key} />
        </>
      )}
      <div class="actions">
        <a class="button quiet" href={`${KEYS}/${made.id}`}>
          {key === null ? "Show what is known of it" : "I have kept it"}
        </a>
      </div>
    </div>
  );
  return { title, section: "API keys", content };
}
