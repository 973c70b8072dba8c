// Shows only the entries that hold what is typed, and how many of each section they are.
const typed = document.getElementById("filter");
const entries = [...document.querySelectorAll("ol.found > li")];
const words = new Map(entries.map((entry) => [entry, entry.textContent.toLowerCase()]));
const filter = () => {
  const wanted = typed.value.trim().toLowerCase();
  for (const entry of entries) entry.hidden = !words.get(entry).includes(wanted);
  for (const list of document.querySelectorAll("ol.found")) {
    const left = [...list.children].filter((entry) => !entry.hidden).length;
    const note = list.nextElementSibling;
    note.hidden = !wanted;
    note.textContent = `${left} of the ${list.children.length} listed`;
  }
};
typed.addEventListener("input", filter);
typed.closest("[hidden]").hidden = false;
filter();
