/** How the body of a request is read: its media type, its size, its time, its bytes, and the JSON in it. */
import type { Context } from "hono";
import type { App } from "../context";
import { parseJson } from "./exact-json";
import { problem } from "./problem";

export const MAX_BODY_BYTES = 64 * 1024;
/** How long a whole body may take to arrive. */
const BODY_TIMEOUT_MS = 30_000;

const JSON_MEDIA_TYPE = /^application\/([\w!#$&^.+-]+\+)?json\s*(;|$)/i;
/** A parameter of a media type, whose value is a token or a quoted string, in which a semicolon ends nothing. */
const PARAMETER = /;\s*([^\s;="]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)/g;
/** Also as RFC 8187 extends the name. */
const CHARSET = /^charset(\*\d*\*?)?$/i;
const UTF_8 = /^"?utf-?8"?$/i;

/**
 * The JSON value of the body, undefined when the body is empty, or the problem: 400 when it is not JSON or not
 * UTF-8, 408 when it does not arrive in time, 413 when it is too large, 415 when it says that it is something else.
 */
export async function readJson(c: Context<App>): Promise<unknown> {
  // A body is a stream even when nothing is in it, and a stream costs more than the rest of the request.
  if (c.req.header("Content-Length") === "0" || c.req.raw.body === null) return undefined;
  const read = await readBytes(c.req.raw.body);
  if (read.tag !== "read") return unreadProblem(c, read.tag);
  if (read.bytes.byteLength === 0) return undefined;
  const unsupported = unsupportedMedia(c);
  if (unsupported !== null) return problem(c, "unsupported_media_type", { detail: unsupported });
  const text = decode(read.bytes);
  if (text === null) return problem(c, "invalid_json", { detail: "The request body is not UTF-8" });
  // Nothing but a byte order mark.
  if (text === "") return undefined;
  const parsed = parseJson(text);
  return parsed.ok ? parsed.value : problem(c, "invalid_json", { detail: parsed.detail });
}

/**
 * The text of the body as it was sent, for a signature over it, or the problem: 400 when it is not UTF-8, 408 when it does not
 * arrive in time, 413 when it is too large.
 */
export async function readText(c: Context<App>): Promise<string | Response> {
  if (c.req.raw.body === null) return "";
  const read = await readBytes(c.req.raw.body);
  if (read.tag !== "read") return unreadProblem(c, read.tag);
  return decode(read.bytes, true) ?? problem(c, "invalid_json", { detail: "The request body is not UTF-8" });
}

/** The problem of a body that was not read whole. */
function unreadProblem(c: Context<App>, tag: Unread["tag"]): Response {
  switch (tag) {
    case "too_large":
      return problem(c, "body_too_large");
    case "timeout":
      return problem(c, "body_timeout");
    case "broken_off":
      return problem(c, "invalid_json", { detail: "The request body ended before it was complete" });
  }
}

/** What is wrong with what the headers say of the body, or null. */
function unsupportedMedia(c: Context<App>): string | null {
  const mediaType = c.req.header("Content-Type") ?? "";
  if (!JSON_MEDIA_TYPE.test(mediaType)) return "The request body must be sent as application/json";
  const isOther = [...mediaType.matchAll(PARAMETER)].some(
    ([, name = "", value = ""]) => CHARSET.test(name) && !UTF_8.test(value.trim()),
  );
  if (isOther) return "The request body must be sent in UTF-8";
  const coding = c.req.header("Content-Encoding")?.trim() ?? "";
  if (coding !== "" && coding.toLowerCase() !== "identity") {
    return "The request body must be sent without a Content-Encoding";
  }
  return null;
}

/** The text that the bytes are in UTF-8, without a byte order mark unless that is kept; null when they are not UTF-8. */
function decode(bytes: Uint8Array, keepsBom = false): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: keepsBom }).decode(bytes);
  } catch {
    return null;
  }
}

interface Unread {
  readonly tag: "too_large" | "timeout" | "broken_off";
}

type ReadBytes = { readonly tag: "read"; readonly bytes: Uint8Array } | Unread;

/** The whole body. Whatever comes of it, neither the timer nor the stream is left open. */
async function readBytes(body: ReadableStream<Uint8Array>): Promise<ReadBytes> {
  const reader = body.getReader();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    // Ends the read that waits, in one runtime as the end of the stream and in another as an error.
    reader.cancel().catch(() => {});
  }, BODY_TIMEOUT_MS);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      length += read.value.byteLength;
      if (length > MAX_BODY_BYTES) {
        reader.cancel().catch(() => {});
        return { tag: "too_large" };
      }
      chunks.push(read.value);
    }
  } catch {
    return { tag: isLate ? "timeout" : "broken_off" };
  } finally {
    clearTimeout(timer);
  }
  if (isLate) return { tag: "timeout" };
  const [first] = chunks;
  return { tag: "read", bytes: chunks.length === 1 && first ? first : concatenate(chunks, length) };
}

function concatenate(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
