/**
 * `node --import @axonize/sdk/register app.js`: recording without a line of code, configured by the
 * environment; HTTP in both directions and `fetch` are recorded. Model clients are objects of the
 * program's and need their one line (`instrumentOpenAI(client)`).
 */
import { init } from "./api.ts";
import { instrumentHttp } from "./integrations/http.ts";
import { instrumentUndici } from "./integrations/undici.ts";

init();
instrumentHttp();
instrumentUndici();
