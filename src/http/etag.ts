/** Entity tags (RFC 9110, section 8.8.3) in conditional requests. */

/** `any` for `*`, or the tags that are listed; null when the header's value is not a list of tags. */
export type Tags = "any" | readonly { readonly weak: boolean; readonly tag: string }[];

/** Bytes above 0x7f come as what they are in UTF-8, and as U+FFFD when they are not UTF-8. */
const TAG = /(W\/)?("[^\0-\x20"\x7f]*")/g;
/** Empty elements of a list are passed over (RFC 9110, section 5.6.1.2), but something must be in it. */
const LIST = new RegExp(`^[ \\t,]*${TAG.source}(?:[ \\t]*,[ \\t,]*${TAG.source})*[ \\t,]*$`);

/** The values that name tags, in the document. */
export const TAGS_PATTERN = `^[ \\t]*\\*[ \\t]*$|${LIST.source}`;

/** Reads the value of an `If-Match` or `If-None-Match` header. */
export function readTags(value: string): Tags | null {
  if (value.trim() === "*") return "any";
  if (!LIST.test(value)) return null;
  return [...value.matchAll(TAG)].map(([, weak, tag = ""]) => ({ weak: weak !== undefined, tag }));
}

/** Whether a representation is among the tags, for a reader: weak tags will do. */
export function isAmong(tags: Tags, etag: string): boolean {
  return tags === "any" || tags.some(({ tag }) => tag === etag);
}

/**
 * The versions that a writer expects, null when any will do. RFC 9110 compares strongly here, but our tags count
 * versions, and proxies that compress an answer weaken them: `W/"1"` is version 1, as `"1"` is.
 */
export function expectedVersions(tags: Tags): number[] | null {
  if (tags === "any") return null;
  return tags.filter(({ tag }) => /^"[1-9]\d{0,15}"$/.test(tag)).map(({ tag }) => Number(tag.slice(1, -1)));
}
