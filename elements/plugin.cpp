// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlcopies.h"
#include "gsthldeviceprovider.h"
#include "gsthldownload.h"
#include "gsthlinfer.h"
#include "gsthltensordec.h"
#include "gsthlupload.h"

#include <gst/gst.h>

namespace {

// Registers and nothing else: the registry scan runs this in a foreign process, so no device is touched here.
gboolean plugin_init(GstPlugin *plugin)
{
    gboolean registered = FALSE; // one feature is enough to be useful
    registered |= GST_DEVICE_PROVIDER_REGISTER(hldeviceprovider, plugin);
    registered |= GST_ELEMENT_REGISTER(hldownload, plugin);
    registered |= GST_ELEMENT_REGISTER(hlinfer, plugin);
    registered |= GST_ELEMENT_REGISTER(hltensordec, plugin);
    registered |= GST_ELEMENT_REGISTER(hlupload, plugin);
    registered |= gst_hl_copies_register(plugin);
    return registered;
}

} // namespace

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, habana, "Inference in Intel Gaudi memory without host copies",
                  plugin_init, PACKAGE_VERSION, "LGPL", "gst-habana", "gst-habana")
