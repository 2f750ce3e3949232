/** Merchants, for administrators: the list, one of them, and what can be done to it. */
import type { Child } from "hono/jsx";
import {
  createMerchantRoute,
  disableMerchantRoute,
  enableMerchantRoute,
  getMerchantRoute,
  listMerchantsRoute,
  renameMerchantRoute,
} from "../../account/routes/merchants";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Answer, Problem } from "../api";
import { Badge, countText, Time } from "../format";
import { Heading } from "../layout";
import type { NoticeName } from "../notices";
import { Pager } from "../pager";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import type { Visit } from "../visit";
import { withMerchant } from "./merchant-choice";

export const merchants = newDashboardApp();

const MERCHANTS = "/dashboard/merchants";
const SCOPES = ["admin"] as const;

type Merchant = Answer<typeof getMerchantRoute>;

view(merchants, MERCHANTS, { scopes: SCOPES }, async (visit, { query }) => {
  const listed = await visit.api.call(listMerchantsRoute, { query: { cursor: query.get("cursor") ?? undefined } });
  if (listed.tag === "problem") return failed(listed.problem, "Merchants");
  const { data: rows, next_cursor } = listed.data;
  const create = (
    <a class="button" href={`${MERCHANTS}/new`} data-opens-dialog>
      Create a merchant
    </a>
  );
  const content = (
    <>
      <Heading title="Merchants">{rows.length > 0 && create}</Heading>
      {rows.length === 0 ? (
        <div class="card empty">
          <h2>No merchant here</h2>
          <p>A merchant owns payments, API keys and webhook endpoints, apart from every other one.</p>
          {create}
        </div>
      ) : (
        <MerchantTable visit={visit} rows={rows} />
      )}
      <Pager path={MERCHANTS} query={query} next={next_cursor} />
    </>
  );
  return { title: "Merchants", section: "Merchants", content };
});

function MerchantTable({ visit, rows }: { visit: Visit; rows: readonly Merchant[] }) {
  return (
    <div class="card scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col" class="number">
              Id
            </th>
            <th scope="col">Status</th>
            <th scope="col" class="number">
              Storage
            </th>
            <th scope="col">Created</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((merchant) => (
            <tr>
              <th scope="row">
                <a href={`${MERCHANTS}/${merchant.id}`}>{merchant.name}</a>
              </th>
              <td class="number">{merchant.id}</td>
              <td>
                <StatusOf merchant={merchant} />
              </td>
              <td class="number">
                <Bytes visit={visit} bytes={merchant.stored_bytes} />
              </td>
              <td>
                <Time visit={visit} at={merchant.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function StatusOf({ merchant: { status } }: { merchant: Merchant }) {
  return <Badge tone={status === "active" ? "good" : "bad"} text={status} />;
}

const UNITS = ["bytes", "kB", "MB", "GB"] as const;

/** A size in the unit that fits, and in bytes on hover. */
function Bytes({ visit, bytes }: { visit: Visit; bytes: number }) {
  const step = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const rounded = Math.round((bytes / 1000 ** step) * 10) / 10;
  return (
    <data class="number" value={String(bytes)} title={`${bytes} bytes`}>
      {countText(visit, rounded)} {UNITS[step]}
    </data>
  );
}

function NameField({ value }: { value: string }) {
  return (
    <label>
      Name
      <input name="name" required maxlength={100} value={value} placeholder="Shop" />
    </label>
  );
}

function creation(visit: Visit, sent: URLSearchParams, refused: Problem | null): Shown {
  const title = "Create a merchant";
  const content = (
    <ActionForm
      visit={visit}
      title={title}
      action={`${MERCHANTS}/new`}
      back={MERCHANTS}
      submit="Create the merchant"
      idempotencyKey={idempotencyKeyOf(sent)}
      refused={refused}
    >
      <NameField value={sent.get("name") ?? ""} />
    </ActionForm>
  );
  return { title, section: "Merchants", content, status: refused?.status ?? 200 };
}

view(merchants, `${MERCHANTS}/new`, { scopes: SCOPES }, (visit) => creation(visit, new URLSearchParams(), null));

form(merchants, `${MERCHANTS}/new`, { scopes: SCOPES }, async (visit, { form: sent }) => {
  const created = await visit.api.call(createMerchantRoute, {
    body: { name: sent.get("name") ?? "" },
    headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
  });
  if (created.tag === "problem") return creation(visit, sent, created.problem);
  return done(`${MERCHANTS}/${created.data.id}`, "merchant_created");
});

view(merchants, `${MERCHANTS}/:merchant`, { scopes: SCOPES }, async (visit, { param }) => {
  const found = await visit.api.call(getMerchantRoute, { params: { merchant_id: param("merchant") } });
  if (found.tag === "problem") return failed(found.problem, "Merchants");
  const merchant = found.data;
  const path = `${MERCHANTS}/${merchant.id}`;
  const content = (
    <>
      <p>
        <a href={MERCHANTS}>All merchants</a>
      </p>
      <Heading title={merchant.name}>
        <a class="button quiet" href={`${path}/rename`} data-opens-dialog>
          Rename
        </a>
        {merchant.status === "active" ? (
          <a class="button danger" href={`${path}/disable`} data-opens-dialog>
            Disable
          </a>
        ) : (
          <a class="button" href={`${path}/enable`} data-opens-dialog>
            Enable
          </a>
        )}
      </Heading>
      <div class="card">
        <dl class="facts">
          <dt>Id</dt>
          <dd>{merchant.id}</dd>
          <dt>Status</dt>
          <dd>
            <StatusOf merchant={merchant} />
            {merchant.disabled_at !== null && (
              <>
                {" since "}
                <Time visit={visit} at={merchant.disabled_at} />
              </>
            )}
          </dd>
          <dt>Storage</dt>
          <dd>
            <Bytes visit={visit} bytes={merchant.stored_bytes} />{" "}
            <span class="quiet-text">about, for its payments and their events</span>
          </dd>
          <dt>Created</dt>
          <dd>
            <Time visit={visit} at={merchant.created_at} />
          </dd>
        </dl>
      </div>
      <p class="actions">
        <a class="button quiet" href={withMerchant("/dashboard/keys", merchant.id)}>
          Its API keys
        </a>
        <a class="button quiet" href={withMerchant("/dashboard/account", merchant.id)}>
          Its account trail
        </a>
      </p>
    </>
  );
  return { title: `Merchant ${merchant.name}`, section: "Merchants", content };
});

interface MerchantForm {
  readonly name: string;
  readonly title: string;
  readonly submit: string;
  readonly isDangerous?: boolean;
  readonly content: (merchant: Merchant, sent: URLSearchParams) => Child;
  readonly route: typeof renameMerchantRoute | typeof disableMerchantRoute | typeof enableMerchantRoute;
  readonly body?: (sent: URLSearchParams) => object;
  readonly notice: NoticeName;
}

/** Adds a form with the page that it stands on. */
function merchantForm(described: MerchantForm): void {
  const { name, title, submit, isDangerous = false, content, route, body, notice } = described;
  const address = `${MERCHANTS}/:merchant/${name}`;
  const show = async (visit: Visit, id: string, sent: URLSearchParams, refused: Problem | null): Promise<Shown> => {
    const found = await visit.api.call(getMerchantRoute, { params: { merchant_id: id } });
    if (found.tag === "problem") return failed(found.problem, "Merchants");
    const path = `${MERCHANTS}/${found.data.id}`;
    const page = (
      <ActionForm
        visit={visit}
        title={title}
        action={`${path}/${name}`}
        back={path}
        submit={submit}
        isDangerous={isDangerous}
        {...(body === undefined && { idempotencyKey: idempotencyKeyOf(sent) })}
        refused={refused}
      >
        {content(found.data, sent)}
      </ActionForm>
    );
    return { title, section: "Merchants", content: page, status: refused?.status ?? 200 };
  };
  view(merchants, address, { scopes: SCOPES }, (visit, { param }) =>
    show(visit, param("merchant"), new URLSearchParams(), null),
  );
  form(merchants, address, { scopes: SCOPES }, async (visit, { param, form: sent }) => {
    const id = param("merchant");
    const changed = await visit.api.call(route, {
      params: { merchant_id: id },
      // A new name is the same however often it is given.
      ...(body ? { body: body(sent) } : { headers: { "Idempotency-Key": idempotencyKeyOf(sent) } }),
    });
    if (changed.tag === "problem") return show(visit, id, sent, changed.problem);
    return done(`${MERCHANTS}/${changed.data.id}`, notice);
  });
}

merchantForm({
  name: "rename",
  title: "Rename the merchant",
  submit: "Rename",
  content: (merchant, sent) => <NameField value={sent.get("name") ?? merchant.name} />,
  route: renameMerchantRoute,
  body: (sent) => ({ name: sent.get("name") ?? "" }),
  notice: "merchant_renamed",
});

merchantForm({
  name: "disable",
  title: "Disable the merchant",
  submit: "Disable",
  isDangerous: true,
  content: ({ name, id }) => (
    <>
      <p>
        <strong>{name}</strong>, merchant {id}
      </p>
      <p>
        Within 30 seconds all of its API keys are refused, and no webhook is sent to it. Nothing is lost: enabled again,
        it goes on where it was.
      </p>
    </>
  ),
  route: disableMerchantRoute,
  notice: "merchant_disabled",
});

merchantForm({
  name: "enable",
  title: "Enable the merchant",
  submit: "Enable",
  content: ({ name, id }) => (
    <>
      <p>
        <strong>{name}</strong>, merchant {id}
      </p>
      <p>
        Within 30 seconds its API keys are good again, those that have neither been revoked nor expired. Webhooks that
        were still to be sent go on within two minutes.
      </p>
    </>
  ),
  route: enableMerchantRoute,
  notice: "merchant_enabled",
});
