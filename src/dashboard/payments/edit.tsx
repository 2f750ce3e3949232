/** Changing a payment's description and metadata. What was not touched is not sent, so that another's change of it stays. */
import { z } from "@hono/zod-openapi";
import { getPaymentRoute } from "../../operation/routes/payment";
import { updatePaymentRoute } from "../../operation/routes/update";
import { MAX_PAIRS } from "../../payment/metadata";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Problem } from "../api";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import type { Visit } from "../visit";
import { PAYMENTS_PATH } from "./filters";

export const paymentEdit = newDashboardApp();

const PATH = `${PAYMENTS_PATH}/:id/edit`;
const SCOPES = ["payments:write"] as const;
/** For new pairs, beside those that there are. */
const BLANK_ROWS = 3;

/** A pair in the form, and what it was when the form was made; null for a new one. */
interface Row {
  readonly name: string;
  readonly value: string;
  readonly original: Original | null;
}
type Original = readonly [name: string, value: string];

async function show(visit: Visit, id: string, sent: URLSearchParams | null, refused: Problem | null): Promise<Shown> {
  const found = await visit.api.call(getPaymentRoute, { params: { payment_id: id } });
  if (found.tag === "problem") return failed(found.problem, "Payments");
  const { description, metadata } = found.data;
  const stored = Object.entries(metadata).map(([name, value]): Row => ({ name, value, original: [name, value] }));
  const blank = Array.from({ length: Math.min(BLANK_ROWS, MAX_PAIRS - stored.length) }, (): Row => {
    return { name: "", value: "", original: null };
  });
  const rows = sent === null ? [...stored, ...blank] : readRows(sent);
  const path = `${PAYMENTS_PATH}/${id}`;
  const content = (
    <ActionForm
      visit={visit}
      title="Edit the payment"
      action={`${path}/edit`}
      back={path}
      submit="Save"
      idempotencyKey={idempotencyKeyOf(sent ?? new URLSearchParams())}
      refused={refused}
    >
      <input type="hidden" name="original_description" value={sent?.get("original_description") ?? description ?? ""} />
      <label>
        Description
        <textarea name="description" rows={2} maxlength={500}>
          {sent?.get("description") ?? description ?? ""}
        </textarea>
      </label>
      <fieldset class="stacked">
        <legend>Metadata</legend>
        {rows.map((row, n) => (
          <Pair row={row} number={n + 1} />
        ))}
        <p class="hint">Clear a name to remove its pair. Save, and edit again, for more than these.</p>
      </fieldset>
    </ActionForm>
  );
  return { title: "Edit the payment", section: "Payments", content, status: refused?.status ?? 200 };
}

/** Fields of one line would lose the line breaks of a value. */
function Pair({ row: { name, value, original }, number }: { row: Row; number: number }) {
  return (
    <div class="pair">
      <input type="hidden" name="original" value={original === null ? "" : JSON.stringify(original)} />
      <input name="name" value={name} aria-label={`Name ${number}`} placeholder="name" autocomplete="off" />
      <textarea name="value" rows={value.includes("\n") ? 3 : 1} aria-label={`Value ${number}`} placeholder="value">
        {value}
      </textarea>
    </div>
  );
}

/** A text as a browser sends it back that was not touched is the same in all but its line breaks. */
const withoutBreaks = (text: string): string => text.replaceAll(/[\r\n]/g, "");
const isTouched = (before: string, now: string): boolean => withoutBreaks(before) !== withoutBreaks(now);
/** Forms send every line break as two characters. */
const asWritten = (text: string): string => text.replaceAll("\r\n", "\n");

const Original = z.tuple([z.string(), z.string()]);

/** What a pair was, as the form was told; null for a new one, and for what no form of this page says. */
function readOriginal(text: string): Original | null {
  try {
    return Original.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

function readRows(sent: URLSearchParams): readonly Row[] {
  const [names, values, originals] = [sent.getAll("name"), sent.getAll("value"), sent.getAll("original")];
  return names.map((name, n) => ({ name, value: values[n] ?? "", original: readOriginal(originals[n] ?? "") }));
}

/** What the form changes of the metadata: what it sets, and null for what it removes. */
function changesOf(rows: readonly Row[]): Record<string, string | null> {
  const removed: [string, null][] = [];
  const set: [string, string][] = [];
  for (const { name, value, original } of rows) {
    const isRenamed = original !== null && isTouched(original[0], name);
    if (original !== null && isRenamed) removed.push([original[0], null]);
    if (name.trim() === "") continue;
    if (original !== null && !isRenamed) {
      if (isTouched(original[1], value)) set.push([original[0], asWritten(value)]);
    } else set.push([name, asWritten(value)]);
  }
  return Object.fromEntries<string | null>([...removed, ...set]);
}

view(paymentEdit, PATH, { scopes: SCOPES }, (visit, { param }) => show(visit, param("id"), null, null));

form(paymentEdit, PATH, { scopes: SCOPES }, async (visit, { param, form: sent }) => {
  const id = param("id");
  const description = asWritten(sent.get("description") ?? "");
  const metadata = changesOf(readRows(sent));
  const body = {
    ...(isTouched(sent.get("original_description") ?? "", description) && { description: description || null }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  };
  const path = `${PAYMENTS_PATH}/${id}`;
  if (Object.keys(body).length === 0) return { redirect: path };
  const updated = await visit.api.call(updatePaymentRoute, {
    params: { payment_id: id },
    body,
    headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
  });
  return updated.tag === "problem" ? show(visit, id, sent, updated.problem) : done(path, "payment_edited");
});
