import { tides } from "./tides.js";

const rows = tides(6).map(({ hour, height }) => `<li>${hour}:00 ${height.toFixed(2)} m</li>`);
document.querySelector("#tides").innerHTML = `<ul>${rows.join("")}</ul>`;
document.querySelector("#about").textContent = `built ${import.meta.env.VITE_BUILT}`;
