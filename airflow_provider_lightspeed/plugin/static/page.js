// Airflow keeps its colour mode in the browser's storage; this page follows it.
const mode = localStorage.getItem("theme");
if (mode === "light" || mode === "dark") document.documentElement.dataset.theme = mode;

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const note = button.parentElement.querySelector(".copied");
    try {
      await navigator.clipboard.writeText(source.textContent);
      note.textContent = "Copied";
    } catch {
      // Without https browsers have no clipboard for pages: leave the text selected.
      getSelection().selectAllChildren(source);
      note.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { note.textContent = ""; }, 4000);
  });
}
