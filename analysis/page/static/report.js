/** Start of report.html: the data are in the page. */

import { showStudy } from "./study.js";

showStudy(document.querySelector("main"), JSON.parse(document.getElementById("data").textContent));
