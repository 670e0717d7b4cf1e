// tus-js-client, as the tests let it upload: upload.mjs ENDPOINT PATH KEY TOKEN. Ends when the file is there.

import { createReadStream, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, path, key, token] = process.argv.slice(2);

const upload = new Upload(createReadStream(path), {
  endpoint,
  uploadSize: statSync(path).size,
  // It goes on at once after a cut, and gives up where it gets nowhere.
  retryDelays: Array(20).fill(20),
  headers: { Authorization: `Bearer ${token}` },
  metadata: { key, filename: "film.mp4", filetype: "video/mp4" },
  onError: (error) => {
    console.error(error);
    process.exit(1);
  },
  onSuccess: () => process.exit(0),
});
upload.start();
