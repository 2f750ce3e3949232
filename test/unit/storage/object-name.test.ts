import { expect, it } from "vitest";
import { objectName, readObjectName } from "../../../src/storage/object-name";

it("names an object by its merchant too, and reads it back", () => {
  expect(objectName({ merchantId: 7, id: 12 })).toBe("7:12");
  expect(readObjectName("7:12")).toEqual({ merchantId: 7, id: 12 });
  expect(readObjectName("710:3")).toEqual({ merchantId: 710, id: 3 });
  expect(readObjectName("1:9007199254740991")).toEqual({ merchantId: 1, id: 9007199254740991 });
});

it.each([undefined, "", "12", "7:", ":12", "7:12:3", "0:12", "7:x", " 7:12", "7:12 ", "7:012"])(
  "reads no name in %j",
  (name) => {
    expect(() => readObjectName(name)).toThrow("No name of a merchant's object");
  },
);
