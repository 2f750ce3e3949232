import { expect, it } from "vitest";
import { objectName, readObjectName } from "../../../src/webhook/object-name";

it("names an endpoint's object by its merchant too, and reads it back", () => {
  expect(objectName({ merchantId: 7, endpointId: 12 })).toBe("7:12");
  expect(readObjectName("7:12")).toEqual({ merchantId: 7, endpointId: 12 });
  expect(readObjectName("710:3")).toEqual({ merchantId: 710, endpointId: 3 });
  expect(readObjectName("1:9007199254740991")).toEqual({ merchantId: 1, endpointId: 9007199254740991 });
});

it.each([undefined, "", "12", "7:", ":12", "7:12:3", "0:12", "7:x", " 7:12"])("reads no name in %j", (name) => {
  expect(() => readObjectName(name)).toThrow("No name of an endpoint's object");
});
