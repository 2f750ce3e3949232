/** Whether the local database still is what `migrations/` makes: until the first release the base is edited in place. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";

/** `new`: nothing is applied yet; `behind`: migrations are to be applied; `other`: made by another base schema. */
export type LocalSchema = "new" | "behind" | "current" | "other";

/**
 * Compares the tables that are stored with those that the applied migrations make today. What is stored cannot claim
 * to be something else, as a note beside it could.
 *
 * @param state the directory of the local D1
 */
export function compareLocalSchema(state: string, migrations: string): LocalSchema {
  const files = readdirSync(migrations)
    .filter((file) => file.endsWith(".sql"))
    .sort();
  const stored = databasesOf(state).map((file) => read(file));
  const database = stored.find(({ applied }) => applied.length > 0);
  if (database === undefined) return stored.some(({ tables }) => tables.length > 0) ? "other" : "new";
  const { applied, tables } = database;
  if (applied.some((name, n) => name !== files[n])) return "other";
  const expected = new DatabaseSync(":memory:");
  for (const file of files.slice(0, applied.length)) expected.exec(readFileSync(path.join(migrations, file), "utf8"));
  const isSame = JSON.stringify(tablesOf(expected)) === JSON.stringify(tables);
  expected.close();
  if (!isSame) return "other";
  return applied.length < files.length ? "behind" : "current";
}

function databasesOf(state: string): string[] {
  const directory = path.join(state, "v3/d1/miniflare-D1DatabaseObject");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((file) => file.endsWith(".sqlite") && file !== "metadata.sqlite")
    .map((file) => path.join(directory, file));
}

function read(file: string): { applied: string[]; tables: string[] } {
  const database = new DatabaseSync(file);
  try {
    const notes = database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'd1_migrations'").get();
    const rows = notes?.n === 1 ? database.prepare("SELECT name FROM d1_migrations ORDER BY name").all() : [];
    return { applied: rows.map(({ name }) => String(name)), tables: tablesOf(database) };
  } finally {
    database.close();
  }
}

/** The project's tables, indexes and triggers as SQLite keeps them, without comments and layout. */
function tablesOf(database: DatabaseSync): string[] {
  return database
    .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
    .all()
    .map(({ sql }) => String(sql))
    .filter((sql) => !/^CREATE TABLE "?(d1_migrations|_cf_\w+|sqlite_\w+)\b/.test(sql))
    .map((sql) => sql.replace(/--[^\n]*/g, "").replace(/\s+/g, " "));
}
