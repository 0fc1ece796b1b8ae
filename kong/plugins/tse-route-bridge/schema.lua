local typedefs = require "kong.db.schema.typedefs"


return {
  name = "tse-route-bridge",
  fields = {
    { consumer = typedefs.no_consumer },
    { protocols = typedefs.protocols_http },
    { config = {
        type = "record",
        fields = {
          { prometheus = {
              description = "Whether routed requests are counted in the Prometheus plugin's registry.",
              type = "boolean",
              required = true,
              default = true,
          } },
        },
    } },
  },
}
