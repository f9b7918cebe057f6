/** What a component says that it was made with. */
export const SDK: [string, string] = ["sdk", "tidemill-js 0.1.0"];
