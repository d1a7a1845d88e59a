// A Payload with stories in three languages, and its REST API behind Node's own server: as Payload's own words on
// `handleEndpoints` have it for servers other than Next.js. The administration's screens, which want Next.js, are not built.
import http from 'node:http'
import { Readable } from 'node:stream'

import { sqliteAdapter } from '@payloadcms/db-sqlite'
import { lexicalEditor } from '@payloadcms/richtext-lexical'
import { buildConfig, getPayload, handleEndpoints } from 'payload'

import { datelineHooks } from './dateline-hooks.ts'

// An editor's screen schedules by a function of the server's, which no address leads to.
const schedule = {
  path: '/schedule',
  method: 'post',
  handler: async (req) => {
    const { id, at } = await req.json()
    const user = { relationTo: req.user.collection, value: req.user.id }
    const input = { type: 'publish', doc: { relationTo: 'articles', value: String(id) }, user }
    await req.payload.jobs.queue({ task: 'schedulePublish', input, waitUntil: new Date(at) })
    return Response.json({})
  },
}

const config = buildConfig({
  secret: process.env.PAYLOAD_SECRET,
  telemetry: false,
  db: sqliteAdapter({ client: { url: process.env.DATABASE } }),
  editor: lexicalEditor(),
  localization: { locales: ['en', 'ur', 'zh-Hans'], defaultLocale: 'en', fallback: true },
  bodyParser: { limits: { fieldSize: 8_000_000 } },
  endpoints: [schedule],
  collections: [
    { slug: 'users', auth: { useAPIKey: true }, fields: [] },
    { slug: 'sections', fields: [{ name: 'title', type: 'text' }, { name: 'slug', type: 'text' }] },
    {
      slug: 'articles',
      trash: true,
      versions: { drafts: { autosave: true, schedulePublish: true } },
      hooks: datelineHooks,
      fields: [
        { name: 'title', type: 'text', localized: true },
        { name: 'summary', type: 'textarea', localized: true },
        { name: 'body', type: 'richText', localized: true },
        { name: 'sections', type: 'relationship', relationTo: 'sections', hasMany: true },
        { name: 'correctionNote', type: 'text' },
        { name: 'url', type: 'text' },
      ],
    },
  ],
})

await getPayload({ config })

const answered = async (asked, answer) => {
  const hasBody = !['GET', 'HEAD'].includes(asked.method)
  const request = new Request(`http://${asked.headers.host}${asked.url}`, {
    method: asked.method, headers: asked.headers, duplex: 'half', body: hasBody ? Readable.toWeb(asked) : undefined,
  })
  const response = await handleEndpoints({ config, request })
  answer.writeHead(response.status, Object.fromEntries(response.headers))
  answer.end(Buffer.from(await response.arrayBuffer()))
}

http.createServer((asked, answer) => {
  answered(asked, answer).catch((error) => {
    console.error(error)
    answer.writeHead(500).end()
  })
}).listen(Number(process.env.PORT), '127.0.0.1')
