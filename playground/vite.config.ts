import { defineConfig } from "vite";

export default defineConfig({
  // The page is put anywhere: nothing in it knows its address.
  base: "./",
  build: {
    outDir: "../dist/playground",
    emptyOutDir: true,
    target: "es2022",
    // Everything comes from the page's own files: its content security policy allows nothing else.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: "es" },
});
