/** The log: one JSON line for each thing that an operator may look for. No key, body, query or secret belongs in one. */

/** What a line says: `message` names the kind of line. Fields that are undefined are left out. */
export interface LogLine {
  readonly message: string;
  readonly [field: string]: unknown;
}

/** Logs what happened. */
export function logInfo(line: LogLine): void {
  console.log(JSON.stringify(line));
}

/** Logs what an operator should look into. */
export function logError(line: LogLine): void {
  console.error(JSON.stringify(line));
}
