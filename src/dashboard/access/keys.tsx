/** The list of API keys, and one of them. */
import { getApiKeyRoute, listApiKeysRoute } from "../../account/routes/api-keys";
import { SCOPES } from "../../scopes";
import type { Answer } from "../api";
import { Badge, Time } from "../format";
import { Heading } from "../layout";
import { Pager } from "../pager";
import type { Tone } from "../tones";
import { failed, newDashboardApp, view } from "../view";
import { may, type Visit } from "../visit";
import { ChooseFirst, chosenMerchant, MerchantChoice, merchantsFor, withMerchant } from "./merchant-choice";

export const keys = newDashboardApp();

export const KEYS = "/dashboard/keys";
export const KEY_SCOPES = ["keys:manage"] as const;

export type ApiKey = Answer<typeof getApiKeyRoute>;

const TONES: Readonly<Record<ApiKey["status"], Tone>> = { active: "good", expired: "over", revoked: "bad" };

view(keys, KEYS, { scopes: KEY_SCOPES }, async (visit, { query }) => {
  const chosen = chosenMerchant(visit, query);
  const asked = { merchant_id: chosen.merchantId, cursor: query.get("cursor") ?? undefined };
  const [listed, merchants] = await Promise.all([
    chosen.isKnown ? visit.api.call(listApiKeysRoute, { query: asked }) : null,
    merchantsFor(visit),
  ]);
  if (listed?.tag === "problem") return failed(listed.problem, "API keys");
  const create = (
    <a class="button" href={withMerchant(`${KEYS}/new`, chosen.merchantId)} data-opens-dialog>
      Create a key
    </a>
  );
  const rows = listed?.data.data ?? [];
  const content = (
    <>
      <Heading title="API keys">{rows.length > 0 && create}</Heading>
      <MerchantChoice visit={visit} path={KEYS} merchants={merchants} chosen={chosen} />
      {listed === null && <ChooseFirst what="its keys" />}
      {listed !== null && rows.length === 0 && (
        <div class="card empty">
          <h2>No API key yet</h2>
          <p>Each program that calls the API has a key of its own, with the scopes that it needs and no other.</p>
          {create}
        </div>
      )}
      {rows.length > 0 && <KeyTable visit={visit} rows={rows} />}
      <Pager path={KEYS} query={query} next={listed?.data.next_cursor ?? null} />
    </>
  );
  return { title: "API keys", section: "API keys", content };
});

function KeyTable({ visit, rows }: { visit: Visit; rows: readonly ApiKey[] }) {
  return (
    <div class="card scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Status</th>
            <th scope="col">May</th>
            <th scope="col">Last used</th>
            <th scope="col">Ends</th>
            <th scope="col">Created</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((key) => (
            <tr>
              <th scope="row">
                <a href={`${KEYS}/${key.id}`}>{key.name}</a>
                <br />
                <KeyId id={key.id} />
              </th>
              <td>
                <Badge tone={TONES[key.status]} text={key.status} />
              </td>
              <td>
                <details>
                  <summary>
                    {key.scopes.length} {key.scopes.length === 1 ? "scope" : "scopes"}
                  </summary>
                  <Scopes scopes={key.scopes} />
                </details>
              </td>
              <td>{key.last_used_at === null ? "Never" : <Time visit={visit} at={key.last_used_at} />}</td>
              <td>
                <End visit={visit} apiKey={key} />
              </td>
              <td>
                <Time visit={visit} at={key.created_at} />
                <br />
                <Creator visit={visit} apiKey={key} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A key by its public id, as it begins. */
export function KeyId({ id }: { id: string }) {
  return <code class="quiet-text">pay_{id}_…</code>;
}

/** What each scope allows, in a sentence. */
export function Scopes({ scopes }: { scopes: ApiKey["scopes"] }) {
  return (
    <ul class="plain">
      {scopes.map((scope) => (
        <li>
          {SCOPES[scope]} <code class="quiet-text">{scope}</code>
        </li>
      ))}
    </ul>
  );
}

function End({ visit, apiKey: { revoked_at, expires_at } }: { visit: Visit; apiKey: ApiKey }) {
  const at = revoked_at ?? expires_at;
  return at === null ? <>Never</> : <Time visit={visit} at={at} />;
}

function Creator({ visit, apiKey: { created_by } }: { visit: Visit; apiKey: ApiKey }) {
  if (created_by === null) return <>by {visit.isOpenMode ? "open mode, or the administrator" : "the administrator"}</>;
  return (
    <>
      by{" "}
      <a href={`${KEYS}/${created_by}`}>
        <code>pay_{created_by}_…</code>
      </a>
    </>
  );
}

view(keys, `${KEYS}/:key`, { scopes: KEY_SCOPES }, async (visit, { param }) => {
  const found = await visit.api.call(getApiKeyRoute, { params: { key_id: param("key") } });
  if (found.tag === "problem") return failed(found.problem, "API keys");
  const key = found.data;
  const path = `${KEYS}/${key.id}`;
  const action = (name: string, text: string, look = "button quiet") => (
    <a class={look} href={`${path}/${name}`} data-opens-dialog>
      {text}
    </a>
  );
  const content = (
    <>
      <p>
        <a href={withMerchant(KEYS, may(visit, "admin") ? key.merchant_id : undefined)}>All keys</a>
      </p>
      <Heading title={key.name}>
        {action("rename", "Rename")}
        {key.status === "active" && action("roll", "Roll")}
        {key.status !== "revoked" && action("revoke", "Revoke", "button danger")}
      </Heading>
      <div class="card">
        <dl class="facts">
          <dt>Status</dt>
          <dd>
            <Badge tone={TONES[key.status]} text={key.status} />
          </dd>
          <dt>Key</dt>
          <dd>
            <KeyId id={key.id} />
          </dd>
          <dt>Merchant</dt>
          <dd>
            {may(visit, "admin") ? (
              <a href={`/dashboard/merchants/${key.merchant_id}`}>{key.merchant_id}</a>
            ) : (
              key.merchant_id
            )}
          </dd>
          <dt>May</dt>
          <dd>
            <Scopes scopes={key.scopes} />
          </dd>
          <dt>Last used</dt>
          <dd>
            {key.last_used_at === null ? "Never" : <Time visit={visit} at={key.last_used_at} />}{" "}
            <span class="quiet-text">to within an hour</span>
          </dd>
          <dt>{key.revoked_at === null ? "Ends" : "Revoked"}</dt>
          <dd>
            <End visit={visit} apiKey={key} />
          </dd>
          <dt>Created</dt>
          <dd>
            <Time visit={visit} at={key.created_at} /> <Creator visit={visit} apiKey={key} />
          </dd>
        </dl>
      </div>
    </>
  );
  return { title: `Key ${key.name}`, section: "API keys", content };
});
