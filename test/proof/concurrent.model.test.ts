import { testModel } from "./model";

testModel("concurrent");
