/** What can be done to an API key, each with its form. */
import type { Child } from "hono/jsx";
import {
  getApiKeyRoute,
  listApiKeysRoute,
  renameApiKeyRoute,
  revokeApiKeyRoute,
  rollApiKeyRoute,
} from "../../account/routes/api-keys";
import { listWebhookEndpointsRoute } from "../../webhook/routes/endpoints";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Problem } from "../api";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { type ApiKey, KEY_SCOPES, KEYS, KeyId } from "./keys";
import { newKeyPage } from "./new-key";

export const keyActions = newDashboardApp();

interface KeyForm {
  readonly name: string;
  readonly title: string;
  readonly submit: string;
  readonly isDangerous?: boolean;
  /** What stands in the form, for what was sent, or for nothing yet. */
  readonly content: (visit: Visit, key: ApiKey, sent: URLSearchParams) => Child | Promise<Child>;
  /** What the form does: where it leads, or the refusal. */
  readonly run: (visit: Visit, id: string, sent: URLSearchParams) => Promise<Shown | { readonly refused: Problem }>;
}

/** Adds a form with the page that it stands on. */
function keyForm({ name, title, submit, isDangerous = false, content, run }: KeyForm): void {
  const route = `${KEYS}/:key/${name}`;
  const show = async (visit: Visit, id: string, sent: URLSearchParams, refused: Problem | null): Promise<Shown> => {
    const found = await visit.api.call(getApiKeyRoute, { params: { key_id: id } });
    if (found.tag === "problem") return failed(found.problem, "API keys");
    const path = `${KEYS}/${found.data.id}`;
    const page = (
      <ActionForm
        visit={visit}
        title={title}
        action={`${path}/${name}`}
        back={path}
        submit={submit}
        isDangerous={isDangerous}
        idempotencyKey={idempotencyKeyOf(sent)}
        refused={refused}
      >
        <p>
          <strong>{found.data.name}</strong> <KeyId id={found.data.id} />
        </p>
        {await content(visit, found.data, sent)}
      </ActionForm>
    );
    return { title, section: "API keys", content: page, status: refused?.status ?? 200 };
  };
  view(keyActions, route, { scopes: KEY_SCOPES }, (visit, { param }) =>
    show(visit, param("key"), new URLSearchParams(), null),
  );
  form(keyActions, route, { scopes: KEY_SCOPES }, async (visit, { param, form: sent }) => {
    const result = await run(visit, param("key"), sent);
    return "refused" in result ? show(visit, param("key"), sent, result.refused) : result;
  });
}

keyForm({
  name: "rename",
  title: "Rename the key",
  submit: "Rename",
  content: (_, key, sent) => (
    <label>
      Name
      <input name="name" required maxlength={100} value={sent.get("name") ?? key.name} />
    </label>
  ),
  run: async (visit, id, sent) => {
    const params = { key_id: id };
    const renamed = await visit.api.call(renameApiKeyRoute, { params, body: { name: sent.get("name") ?? "" } });
    return renamed.tag === "problem" ? { refused: renamed.problem } : done(`${KEYS}/${id}`, "key_renamed");
  },
});

const OVERLAPS = [
  { seconds: 86_400, text: "for one more day" },
  { seconds: 3_600, text: "for one more hour" },
  { seconds: 604_800, text: "for seven more days" },
  { seconds: 0, text: "no longer: somebody else may know it" },
] as const;

keyForm({
  name: "roll",
  title: "Roll the key",
  submit: "Make the new key",
  content: (visit, key, sent) => (
    <>
      <p>A new key with the same name and scopes is made, and shown once. The old one ends.</p>
      <fieldset>
        <legend>The old key is good</legend>
        {OVERLAPS.map(({ seconds, text }, n) => (
          <label class="choice">
            <input
              type="radio"
              name="overlap_seconds"
              value={String(seconds)}
              checked={sent.has("overlap_seconds") ? sent.get("overlap_seconds") === String(seconds) : n === 0}
            />
            {text}
          </label>
        ))}
      </fieldset>
      {isOwn(visit, key) && <p>You have signed in with this key: when it ends, sign in with the new one.</p>}
    </>
  ),
  run: async (visit, id, sent) => {
    const rolled = await visit.api.call(rollApiKeyRoute, {
      params: { key_id: id },
      body: { overlap_seconds: Number(sent.get("overlap_seconds") ?? OVERLAPS[0].seconds) },
      headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
    });
    return rolled.tag === "problem" ? { refused: rolled.problem } : newKeyPage("The key is rolled", rolled.data);
  },
});

const isOwn = (visit: Visit, { id }: ApiKey): boolean => visit.principal.keyId === id;

keyForm({
  name: "revoke",
  title: "Revoke the key",
  submit: "Revoke for good",
  isDangerous: true,
  content: async (visit, key) => {
    const { others, isComplete, urls } = await endsWith(visit, key);
    return (
      <>
        <p>Every program that uses it is refused from now on. This cannot be undone.</p>
        {others.length > 0 && (
          <>
            <p>With it ends what it has created, and what that has:</p>
            <ul>
              {others.map(({ name, id }) => (
                <li>
                  {name} <KeyId id={id} />
                </li>
              ))}
            </ul>
          </>
        )}
        {!isComplete && <p>Keys that are older than the newest hundred end too, where it has created them.</p>}
        {urls.length > 0 && (
          <>
            <p>These webhook endpoints, whose URL one of them has set, are disabled:</p>
            <ul>
              {urls.map((url) => (
                <li>{url}</li>
              ))}
            </ul>
          </>
        )}
        {others.length === 0 && urls.length === 0 && isComplete && <p>Nothing else ends with it.</p>}
        {!may(visit, "webhooks:manage") && (
          <p class="hint">
            Webhook endpoints whose URL it has set are disabled. To see which, sign in with webhooks:manage.
          </p>
        )}
        {isOwn(visit, key) && <p>You have signed in with this key: you are signed out with it.</p>}
      </>
    );
  },
  run: async (visit, id, sent) => {
    const revoked = await visit.api.call(revokeApiKeyRoute, {
      params: { key_id: id },
      headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
    });
    return revoked.tag === "problem" ? { refused: revoked.problem } : done(`${KEYS}/${id}`, "key_revoked");
  },
});

/** As many keys and endpoints as one page has. */
const MAX_LISTED = "100";

/** What a revocation ends besides the key: of the merchant's newest hundred keys, and its endpoints, which are fewer. */
async function endsWith(visit: Visit, key: ApiKey) {
  const isOwnMerchant = key.merchant_id === visit.principal.merchantId;
  const [listed, endpoints] = await Promise.all([
    visit.api.call(listApiKeysRoute, { query: { merchant_id: String(key.merchant_id), limit: MAX_LISTED } }),
    isOwnMerchant && may(visit, "webhooks:manage")
      ? visit.api.call(listWebhookEndpointsRoute, { query: { limit: MAX_LISTED } })
      : null,
  ]);
  const all = listed.tag === "ok" ? listed.data.data : [];
  const ended = new Set([key.id]);
  // Newest first: what a key has created stands before it, so that the oldest is looked at first.
  for (const { id, created_by, status } of all.toReversed()) {
    if (created_by !== null && ended.has(created_by) && status !== "revoked") ended.add(id);
  }
  const others = all.filter(({ id, status }) => id !== key.id && status === "active" && ended.has(id));
  const urls = (endpoints?.tag === "ok" ? endpoints.data.data : []).flatMap(({ url, url_set_by, enabled }) =>
    enabled && url_set_by !== null && ended.has(url_set_by) ? [url] : [],
  );
  return { others, isComplete: listed.tag === "ok" && !listed.data.has_more, urls };
}
