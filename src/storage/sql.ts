/**
 * SQL with its parameters in their places: what is written between the backticks is the statement, and each `${value}`
 * becomes a bound parameter. Pieces that are SQL themselves are inserted as they are. It is text and a list, and no
 * query builder: a statement reads as SQLite receives it.
 */

/** What D1 binds. The caller turns booleans and dates into numbers: it knows their unit. */
export type Value = string | number | null;

/** A piece of SQL, and the values of its parameters in order. */
export interface Sql {
  readonly text: string;
  readonly values: readonly Value[];
}

/**
 * A statement, or a piece of one.
 *
 * @example
 * const mine = sql`merchant_id = ${merchantId}`;
 * sql`SELECT ${COLUMNS} FROM payments WHERE id = ${id} AND ${mine}`;
 */
export function sql(strings: TemplateStringsArray, ...parts: readonly (Sql | Value)[]): Sql {
  let text = strings[0] ?? "";
  const values: Value[] = [];
  for (const [n, part] of parts.entries()) {
    if (typeof part === "object" && part !== null) {
      text += part.text;
      for (const value of part.values) values.push(value);
    } else {
      text += "?";
      values.push(part);
    }
    text += strings[n + 1] ?? "";
  }
  return { text, values };
}

/** SQL of the project's own, without parameters: column names, states, numbers. Never what a caller sent. */
export function raw(text: string): Sql {
  return { text, values: [] };
}

/** Pieces one after the other, with a text of the project's own between them. */
export function join(pieces: readonly Sql[], separator: string): Sql {
  return { text: pieces.map(({ text }) => text).join(separator), values: pieces.flatMap(({ values }) => values) };
}

/** The columns of a row type, for a SELECT: the compiler checks that none is missing and none is made up. */
export function columnsOf<Row>(columns: Readonly<Record<keyof Row, true>>, table?: string): Sql {
  const prefix = table === undefined ? "" : `${table}.`;
  return raw(
    Object.keys(columns)
      .map((column) => prefix + column)
      .join(", "),
  );
}
