// Write Tidemill plugins in TypeScript or JavaScript. See README.md beside this folder.

export { type Asked, type Decided, decider, type Decider, type OneOf, Rejection, rejection } from "./aggregate";
export { config } from "./config";
export { type Context, type NewEvent } from "./context";
export { type CommandLabels, dispatch } from "./dispatch";
export { type Event } from "./event";
export { Failure, reject, retry, stop } from "./failure";
export { log } from "./log";
export { type About, on, plugin, type Handler, type Plugin } from "./plugin";
export { Answer, type Answers, invalid, InvalidQuery, type Query } from "./query";
export { array, flag, integer, keeping, nullable, number, object, optional, text, whole } from "./shape";
export { type Reader, type Shape } from "./shape";
export { state } from "./state";
export { drop, type Lift, lift, liftInto, type Made, upcasts } from "./upcaster";
export { decodeUtf8, encodeUtf8 } from "./utf8";
export { check, type Checked, type FieldError, type Rule, validates } from "./validator";
