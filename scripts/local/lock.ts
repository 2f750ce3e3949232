/**
 * One server for each state directory: two of them on one database make each other fail. The lock is SQLite's own, on
 * a file in that directory, which the system takes back from a process however it ends.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";

/** Who serves, or did. */
export interface Holder {
  readonly pid: number;
  readonly port: number;
}

/** How long the runtime of a server that was killed may take to end. */
const ENDS_WITHIN_MS = 5_000;
const POLL_EVERY_MS = 50;

export const lockFile = (state: string) => path.join(state, "server.lock");

/**
 * Takes the lock of a state directory for as long as this process lives.
 *
 * @returns null, or who holds it
 */
export async function lockState(state: string, me: Holder): Promise<Holder | null> {
  mkdirSync(state, { recursive: true });
  const deadline = Date.now() + ENDS_WITHIN_MS;
  for (;;) {
    const database = new DatabaseSync(lockFile(state));
    if (tryLock(database, me)) return null;
    const holder = readHolder(database);
    database.close();
    // A server that was killed takes its runtime with it, a moment later.
    const isEnding = holder === null || !isAlive(holder.pid);
    if (!isEnding || Date.now() > deadline) return holder ?? { pid: 0, port: 0 };
    await pause(POLL_EVERY_MS);
  }
}

/** Joins the holder of a lock: a runtime outlives the process that started it by a moment. */
export function shareLock(file: string): void {
  const database = new DatabaseSync(file);
  hold(database);
  held.push(database);
}

/** Open as long as the process: a database that is collected gives back its lock. */
const held: DatabaseSync[] = [];

function tryLock(database: DatabaseSync, { pid, port }: Holder): boolean {
  try {
    // Excludes even those that only share it. Between this transaction and the next another may come first: then the
    // next one fails.
    database.exec("BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS holder (pid INTEGER, port INTEGER) STRICT");
    database.exec("DELETE FROM holder");
    database.prepare("INSERT INTO holder VALUES (?, ?)").run(pid, port);
    database.exec("COMMIT");
    hold(database);
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  }
  held.push(database);
  return true;
}

/** A read that is never ended holds off every writer. */
function hold(database: DatabaseSync): void {
  database.exec("BEGIN");
  database.prepare("SELECT count(*) FROM sqlite_schema").get();
}

function readHolder(database: DatabaseSync): Holder | null {
  try {
    const row = database.prepare("SELECT pid, port FROM holder").get();
    return row === undefined ? null : { pid: Number(row.pid), port: Number(row.port) };
  } catch (error) {
    // Somebody is writing it at this moment, or has not begun to.
    if (isBusy(error) || String(error).includes("no such table")) return null;
    throw error;
  }
}

const isBusy = (error: unknown) => /database is locked/.test(String(error));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process is alive, too.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
