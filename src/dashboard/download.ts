/** A list of the API as a file for spreadsheets: readable to Excel, and saying so when it is not all. */
import { answer } from "../http/answer";
import { readProblem } from "./api";
import type { SectionName } from "./layout";
import { failed, type Shown } from "./view";
import type { Visit } from "./visit";

/** By it, Excel reads UTF-8 as what it is. */
const BYTE_ORDER_MARK = "\ufeff";

interface Download {
  readonly section: SectionName;
  /** What the rows are: the name of the file, and of what is left. */
  readonly name: string;
  /** The query of this address, which says which part the file is. */
  readonly query: URLSearchParams;
  /** The address of the next part. */
  readonly nextPath: (more: { readonly cursor: string; readonly part: string }) => string;
}

/** Sends what a route of the API has answered in CSV. */
export async function download(visit: Visit, response: Response, file: Download): Promise<Shown> {
  const { section, name, query, nextPath } = file;
  if (!response.ok) return failed(await readProblem(response), section);
  const cursor = response.headers.get("Next-Cursor");
  const part = Number(/^[1-9]\d{0,5}$/.exec(query.get("part") ?? "")?.[0] ?? 1);
  const next = cursor === null ? null : nextPath({ cursor, part: String(part + 1) });
  // Nobody sees the headers of a download: where a file is a part, its name and its last line say so.
  const isPart = next !== null || part > 1;
  const end = next === null ? "" : `More ${name}: ${new URL(next, visit.c.req.url)}\r\n`;
  return answer(visit.c, 200, response.body?.pipeThrough(around(BYTE_ORDER_MARK, end)) ?? null, {
    "Content-Type": response.headers.get("Content-Type") ?? "text/csv",
    "Content-Disposition": `attachment; filename="${name}${isPart ? `-part-${part}` : ""}.csv"`,
  });
}

/** Puts texts before and after what passes. */
function around(before: string, after: string): TransformStream<Uint8Array, Uint8Array> {
  const encoder = new TextEncoder();
  return new TransformStream({
    start: (out) => out.enqueue(encoder.encode(before)),
    flush: (out) => out.enqueue(encoder.encode(after)),
  });
}
