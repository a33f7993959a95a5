// `node download.js ADDRESS FILE`: gives up by itself, because a job must not hang here.
'use strict'

const fs = require('node:fs')

const TRIES = 4
const [address, file] = process.argv.slice(2)

async function once() {
  const answer = await fetch(address, { signal: AbortSignal.timeout(120_000) })
  if (!answer.ok) throw Object.assign(new Error(`HTTP ${answer.status}`), { status: answer.status })
  // Into a file that was not there, for us alone.
  fs.writeFileSync(file, Buffer.from(await answer.arrayBuffer()), { flag: 'wx', mode: 0o600 })
}

async function download() {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once()
    } catch (error) {
      const final = error.status && error.status < 500 && ![408, 429].includes(error.status)
      console.error(`cloudanix-jit: ${address}: ${error.cause?.message || error.message}`)
      if (final || attempt === TRIES) throw error
      await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt))
    }
  }
}

download().catch(() => {
  process.exitCode = 1
})
