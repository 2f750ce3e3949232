/**
 * Sealing anew what an older key has sealed. A walk over every sealed text in D1 begins once a day, and as soon as another key is
 * the newest; runs of some steps carry it on. It opens each text: one that no listed key opens is logged, counted and left. What
 * the walk has found says which keys are still named, and so when an old one may go.
 *
 * A run is small, for D1 answers 50 statements of one invocation on Cloudflare's free plan. There are 144 runs a day, which look at
 * 331,200 texts. A text is replaced only while it is the one that was read: a writer who was there first has sealed under the newest
 * key, or wiped it. So a run may be repeated, or run beside another.
 */
import { open, type SealedPlace, seal, whyNotOpened } from "../auth/seal";
import { readSecretsKeys } from "../auth/secret-keys";
import { Database } from "../storage/database";
import { logError } from "../storage/log";
import { join, raw, type Sql, sql } from "../storage/sql";
import { fieldsOf, type Row, SEALED_COLUMNS, type SealedColumn, type Value } from "./sealed-columns";

const JOB = "sealed_texts";

/** Texts of one step: with the new ones, they are a parameter of at most a megabyte, of the two that D1 takes. */
const TEXTS_PER_STEP = 100;
/** Steps of one run: with two statements each, and two for the place of the walk, 48 statements. */
const STEPS_PER_RUN = 23;
const WALK_EVERY_MS = 86_400_000;
/** Texts of one run that are logged one by one, since they do not open; more are only counted. */
const MAX_LOGGED_PER_RUN = 20;

/** What a walk has found so far. */
interface Found {
  /** How many texts name each key, by its id, after what was sealed anew. */
  readonly by_key: Readonly<Record<string, number>>;
  readonly resealed: number;
  /** Texts that no listed key opens. */
  readonly unopened: number;
  /** Texts that somebody else has replaced or wiped before they could be sealed anew. */
  readonly overtaken: number;
}

/** How far the walk has come, as `job_positions` keeps it. */
interface Progress extends Found {
  /** The newest key when it began. */
  readonly newest: string;
  readonly begun_at: number;
  /** The column that it is in, as `nameOf` names it, and the row that was looked at last; null at the end. */
  readonly at: { readonly column: string; readonly after: readonly Value[] | null } | null;
}

export interface ResealResult extends Found {
  readonly steps: number;
  /** Whether the walk is at its end. */
  readonly finished: boolean;
  readonly begun_at: string;
  readonly newest: string;
  /** Texts that still name another key than the newest. */
  readonly left: number;
}

/**
 * One run: goes on with the walk from where the last run has stopped, up to its end or the bound of one run, or begins one when it
 * is time.
 *
 * @param keys the text of SECRETS_KEYS
 * @throws Error when that is none
 */
export async function resealAll(d1: D1Database, keys: string, now: number): Promise<ResealResult> {
  const newest = readSecretsKeys(keys)?.[0]?.id;
  if (newest === undefined) throw new Error("Set the secret SECRETS_KEYS to what `npm run secrets-key` makes");
  const db = new Database(d1);
  const [stored] = await db.all<{ position: string }>(sql`SELECT position FROM job_positions WHERE job = ${JOB}`);
  const last: Progress | null = stored === undefined ? null : JSON.parse(stored.position);
  const isUnderOthers = last?.newest !== newest;
  if (last?.at === null && !isUnderOthers && now - last.begun_at < WALK_EVERY_MS) return resultOf(last, 0);

  let progress = last === null || last.at === null || isUnderOthers ? beginning(newest, now) : last;
  let logged = 0;
  const mayLog = () => logged++ < MAX_LOGGED_PER_RUN;
  let steps = 0;
  while (progress.at !== null && steps < STEPS_PER_RUN) {
    const index = SEALED_COLUMNS.findIndex((one) => nameOf(one) === progress.at?.column);
    const column = SEALED_COLUMNS[index];
    // A release has taken the column away.
    if (column === undefined) progress = beginning(newest, now);
    else {
      const { reached, found } = await step(db, column, progress.at.after, { keys, newest, mayLog });
      progress = { ...progress, ...sum(progress, found), at: placeAfter(index, reached) };
    }
    steps++;
  }
  // Where another run has gone on meanwhile, its place stands.
  await db.all(sql`
    INSERT INTO job_positions (job, position, updated_at) VALUES (${JOB}, ${JSON.stringify(progress)}, ${now})
    ON CONFLICT (job) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at
    WHERE job_positions.position = ${stored?.position ?? ""}`);
  return resultOf(progress, steps);
}

const nameOf = ({ table, column }: SealedColumn): string => `${table}.${column}`;

function beginning(newest: string, now: number): Progress {
  return { newest, begun_at: now, at: placeAfter(-1, null), by_key: {}, resealed: 0, unopened: 0, overtaken: 0 };
}

/** Where the walk goes on: behind a row, or, behind the last one of a column, in the next. */
function placeAfter(index: number, reached: readonly Value[] | null): Progress["at"] {
  const column = SEALED_COLUMNS[reached === null ? index + 1 : index];
  return column === undefined ? null : { column: nameOf(column), after: reached };
}

function resultOf({ at, begun_at, ...found }: Progress, steps: number): ResealResult {
  const others = Object.entries(found.by_key).filter(([id]) => id !== found.newest);
  return {
    ...found,
    steps,
    finished: at === null,
    begun_at: new Date(begun_at).toISOString(),
    left: others.reduce((left, [, texts]) => left + texts, 0),
  };
}

function sum(one: Found, other: Found): Found {
  const ids = new Set([...Object.keys(one.by_key), ...Object.keys(other.by_key)]);
  return {
    by_key: Object.fromEntries([...ids].map((id) => [id, (one.by_key[id] ?? 0) + (other.by_key[id] ?? 0)])),
    resealed: one.resealed + other.resealed,
    unopened: one.unopened + other.unopened,
    overtaken: one.overtaken + other.overtaken,
  };
}

/** What the steps of a run share. */
interface Run {
  readonly keys: string;
  readonly newest: string;
  /** Whether one more text that does not open is logged. */
  readonly mayLog: () => boolean;
}

/** A sealed text in its row. */
interface SealedText {
  /** The values of the column's key. */
  readonly key: readonly Value[];
  readonly text: string;
  readonly place: SealedPlace;
}

/** Looks at the next texts of a column, and seals those anew that an older key has sealed. Two round trips at most. */
async function step(
  db: Database,
  column: SealedColumn,
  after: readonly Value[] | null,
  { keys, newest, mayLog }: Run,
): Promise<{ readonly reached: readonly Value[] | null; readonly found: Found }> {
  const rows = await db.all<Row>(nextRows(column, after));
  const byKey = new Map<string, number>();
  const count = (id: string, texts = 1) => byKey.set(id, (byKey.get(id) ?? 0) + texts);
  const anew: (SealedText & { readonly sealed: string })[] = [];
  let unopened = 0;
  for (const row of rows) {
    const { key, text, place } = sealedTextOf(column, row);
    const opened = await open(text, place, keys);
    const id = keyIdOf(text);
    if (opened.tag === "opened" && id !== newest) {
      anew.push({ key, text, place, sealed: await seal(opened.text, place, keys) });
      continue;
    }
    count(id);
    if (opened.tag === "opened") continue;
    unopened++;
    const where = [column.table, ...key, column.column].join("/");
    const { merchantId: merchant_id } = place;
    if (mayLog()) logError({ message: "sealed text not opened", where, merchant_id, cause: whyNotOpened(opened) });
  }
  const replaced = anew.length === 0 ? [] : await db.all(replace(column, anew));
  if (replaced.length > 0) count(newest, replaced.length);
  const last = rows.at(-1);
  const reached = last === undefined || rows.length < TEXTS_PER_STEP ? null : valuesOf(last, column.order);
  const [resealed, overtaken] = [replaced.length, anew.length - replaced.length];
  return { reached, found: { by_key: Object.fromEntries(byKey), resealed, unopened, overtaken } };
}

const valuesOf = (row: Row, columns: readonly string[]): Value[] =>
  columns.map((column) => fieldsOf(row).value(column));

const sealedTextOf = ({ key, place }: SealedColumn, row: Row): SealedText => ({
  key: valuesOf(row, key),
  text: fieldsOf(row).text("sealed"),
  place: place(fieldsOf(row)),
});

/** The id of the key that a text names; `none` of what was never sealed. */
const keyIdOf = (text: string): string => /^v1\.([0-9A-Za-z_-]{1,32})\./.exec(text)?.[1] ?? "none";

function nextRows({ table, column, key, order, beside, rows }: SealedColumn, after: readonly Value[] | null): Sql {
  const inOrder = raw(order.join(", "));
  const isAhead =
    after === null
      ? sql``
      : sql`AND (${inOrder}) > (${join(
          after.map((value) => sql`${value}`),
          ", ",
        )})`;
  const read = raw([...new Set([...order, ...key])].join(", "));
  return sql`
    SELECT ${read}, ${beside}, ${raw(column)} AS sealed FROM ${raw(table)} ${rows} ${isAhead}
    ORDER BY ${inOrder} LIMIT ${TEXTS_PER_STEP}`;
}

/** Replaces texts that are still those that were read; running it again does nothing more, and returns the same rows. */
function replace(
  { table, column, key }: SealedColumn,
  anew: readonly (SealedText & { readonly sealed: string })[],
): Sql {
  const isIt = key.map((name, at) => raw(`${table}.${name} = anew.value -> 'key' ->> ${at}`));
  const values = JSON.stringify(anew.map((one) => ({ key: one.key, text: one.text, sealed: one.sealed })));
  return sql`
    UPDATE ${raw(table)} SET ${raw(column)} = anew.value ->> 'sealed' FROM json_each(${values}) AS anew
    WHERE ${join(isIt, " AND ")} AND ${raw(`${table}.${column}`)} IN (anew.value ->> 'text', anew.value ->> 'sealed')
    RETURNING 1 AS one`;
}
