/** Builds the dashboard into dist/dashboard, each file beside its compressed forms, so that the server compresses nothing. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

const out = fileURLToPath(new URL('../dist/dashboard', import.meta.url))

function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    closeBundle() {
      const assets = join(out, 'assets')
      for (const name of readdirSync(assets)) {
        if (!/\.(js|css|svg)$/.test(name)) continue
        const text = readFileSync(join(assets, name))
        writeFileSync(join(assets, `${name}.gz`), gzipSync(text, { level: 9 }))
        writeFileSync(join(assets, `${name}.br`), brotliCompressSync(text))
      }
    },
  }
}

export default defineConfig({
  root: fileURLToPath(new URL('../server/dashboard', import.meta.url)),
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: out,
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    reportCompressedSize: false,
  },
  plugins: [compressed()],
})
