import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  CURSOR_MESSAGE,
  CURSOR_PATTERN,
  ownedCursor,
  positionCursor,
  readCursor,
  writeCursor,
} from "../../../src/http/cursors";

describe("a cursor", () => {
  const Place = z.tuple([z.string(), z.int()]);

  it("is base64url, without padding", () => {
    // What base64 writes with +, with /, and with padding.
    expect(writeCursor(["~~>", 1])).toBe("WyJ-fj4iLDFd");
    expect(writeCursor(["??", 1])).toBe("WyI_PyIsMV0");
    for (const text of ["~~>", "??", ""]) expect(writeCursor([text, 1])).toMatch(new RegExp(CURSOR_PATTERN));
    for (const text of ["", "WyI/PyIsMV0", "WyI_PyIsMV0=", " WyI"])
      expect(text).not.toMatch(new RegExp(CURSOR_PATTERN));
  });

  it.each(["~~>", "??", ">>>???", "a"])("is read as it was written, of %s", (text) => {
    expect(readCursor(writeCursor([text, 1]), Place)).toEqual([text, 1]);
  });

  it.each([
    ["padding", "WyI_PyIsMV0="],
    ["the characters of base64", "WyI/PyIsMV0"],
    ["white space in its JSON", btoa('["a", 1]').replaceAll("=", "")],
    ["another shape", writeCursor([1, 1])],
    ["no JSON", "abcd"],
    ["no base64", "a"],
    ["nothing", ""],
  ])("with %s is none", (_, text) => {
    expect(readCursor(text, Place)).toBeNull();
  });
});

describe("a cursor of one position", () => {
  const read = (text: string) => positionCursor(z.string(), ["feed", "back"]).safeParse(text);

  it.each([0, 1, Number.MAX_SAFE_INTEGER])("leads to %i", (position) => {
    for (const list of ["feed", "back"]) {
      expect(read(writeCursor([list, position]))).toEqual({ success: true, data: { list, position } });
    }
  });

  it.each([
    ["of another list", writeCursor(["log", 1])],
    ["before the first", writeCursor(["feed", -1])],
    ["between two", writeCursor(["feed", 1.5])],
    ["with more in it", writeCursor(["feed", 1, 1])],
    ["that says no position", writeCursor(["feed"])],
    ["of no list", "x"],
  ])("%s is refused", (_, text) => {
    const { success, error } = read(text);
    expect([success, error?.issues.map(({ code, message }) => [code, message])]).toEqual([
      false,
      [["custom", CURSOR_MESSAGE]],
    ]);
    expect(CURSOR_MESSAGE).toBe("Must be a cursor from an earlier answer, as it was");
  });
});

describe("a cursor of one position in an owner's list", () => {
  const read = (text: string) => ownedCursor(z.string(), "deliveries").safeParse(text);

  it.each([
    [1, 0],
    [1, 7],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ])("of owner %i leads to %i", (owner, position) => {
    expect(read(writeCursor(["deliveries", owner, position]))).toEqual({ success: true, data: { owner, position } });
  });

  it.each([
    ["of another list", writeCursor(["feed", 1, 1])],
    ["of nobody", writeCursor(["deliveries", 0, 1])],
    ["of half an owner", writeCursor(["deliveries", 1.5, 1])],
    ["before the first", writeCursor(["deliveries", 1, -1])],
    ["between two", writeCursor(["deliveries", 1, 1.5])],
    ["with more in it", writeCursor(["deliveries", 1, 1, 1])],
    ["that says no position", writeCursor(["deliveries", 1])],
    ["that says no owner", writeCursor(["deliveries"])],
    ["of no list", "x"],
  ])("%s is refused", (_, text) => {
    const { success, error } = read(text);
    const issues = error?.issues.map(({ code, message }) => [code, message]);
    expect([success, issues]).toEqual([false, [["custom", CURSOR_MESSAGE]]]);
  });
});
