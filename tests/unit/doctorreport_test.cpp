// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/doctorreport.h"

#include "fakekernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cerrno>

using hl::DoctorReport;
using hl::ImportAttempt;
using hl::ImportMemory;
using hl::ImportStep;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

namespace {

// vivid's dma-contig, as it answers on a machine without huge pages.
hl::ImportFinding contiguous_camera(int pages_errno = EFAULT)
{
    hl::ImportAttempts attempts;
    const auto at = [&](ImportMemory memory) -> auto & { return attempts[static_cast<size_t>(memory)]; };
    at(ImportMemory::Pages) = ImportAttempt{.step = ImportStep::Queue, .sys_errno = pages_errno};
    at(ImportMemory::Heap) = ImportAttempt{.step = ImportStep::Queue, .sys_errno = EFAULT};
    at(ImportMemory::HeapMiB) = ImportAttempt{.step = ImportStep::Queue};
    at(ImportMemory::HugePages) = ImportAttempt{
        .sys_errno = ENOSPC,
        .buffer = hl::Error{.code = hl::ErrorCode::MemoryHost, .cause = "no huge page", .remedy = "reserve"}};
    at(ImportMemory::Device) = ImportAttempt{.step = ImportStep::Queue, .sys_errno = EINVAL, .dmabuf = false};
    hl::ImportFinding finding{.importer = hl::test::fake_camera(), .format = {"YUYV 640x480", {614400}}};
    for (const ImportMemory memory : hl::all_import_memories)
        finding.verdict[static_cast<size_t>(memory)] = hl::judge_import(finding.importer, memory, attempts);
    return finding;
}

hl::ImportFinding card(ImportAttempt pages)
{
    hl::ImportAttempts attempts;
    hl::ImportFinding finding{.importer = hl::test::fake_card(hl::ImporterKind::Render), .format = {"640x480", {1}}};
    attempts[0] = std::move(pages);
    finding.verdict[0] = hl::judge_import(finding.importer, ImportMemory::Pages, attempts);
    return finding;
}

DoctorReport report_of(std::vector<hl::ImportFinding> findings)
{
    return {.host = {.kernel = "Linux 1.2.3 x86_64",
                     .udmabuf = {.path = "/dev/udmabuf",
                                 .open_errno = EACCES,
                                 .cause = "alice may not open /dev/udmabuf",
                                 .remedy = "sudo usermod -aG kvm alice"},
                     .heaps = {{.path = "/dev/dma_heap/system"}},
                     .huge_pages = {{.page_bytes = 2 << 20, .total = 40, .free = 12}}},
            .device = hl::DeviceInfo{.name = "sim", .backend = "sim", .stand_in = "SIM", .chip = "Gaudi2"},
            .findings = std::move(findings)};
}

hl::Error error_of(hl::ErrorCode code)
{
    return {.code = code, .cause = "so it is", .remedy = "do that"};
}

} // namespace

TEST(DoctorReport, TableHasARowPerImporterAndTellsEachCauseOnce)
{
    const std::string text = report_of({contiguous_camera(), card({.step = ImportStep::Import})}).text();
    EXPECT_THAT(text,
                HasSubstr("/dev/video0     capture  fake    YUYV 640x480  no     ?           no    yes       no\n"));
    EXPECT_THAT(text,
                HasSubstr("/dev/dri/card0  render   fake    640x480       yes*   -           -     -         -\n"));
    EXPECT_THAT(text, HasSubstr("\n  heap: fake takes one contiguous"));
    EXPECT_THAT(text, HasSubstr("(HL-IMP-009, VIDIOC_QBUF: EFAULT (14, Bad address))"));
    EXPECT_THAT(text, HasSubstr("huge-pages: no huge page (HL-IMP-012, make frame: ENOSPC"));
    EXPECT_THAT(text, HasSubstr("    -> reserve\n"));
    EXPECT_THAT(text, HasSubstr("\ndevice: the simulator's device memory is no dma-buf"));
    EXPECT_THAT(text, HasSubstr("judged by the import alone"));
}

TEST(DoctorReport, TellsTheStateOfTheMachine)
{
    const std::string text = report_of({}).text();
    EXPECT_THAT(text, HasSubstr("kernel      Linux 1.2.3 x86_64\n"));
    EXPECT_THAT(text,
                HasSubstr("udmabuf     alice may not open /dev/udmabuf\n            -> sudo usermod -aG kvm alice\n"));
    EXPECT_THAT(text, HasSubstr("dma-heaps   /dev/dma_heap/system\n"));
    EXPECT_THAT(text, HasSubstr("huge pages  2 MiB: 12 of 40 free\n"));
    EXPECT_THAT(text, HasSubstr("Gaudi       none on the PCI bus\n"));
    EXPECT_THAT(text, HasSubstr("device      sim (SIM, Gaudi2)\n"));
    EXPECT_THAT(text, HasSubstr("no V4L2 or DRM node that imports video frames"));
}

TEST(DoctorReport, SaysWhyThereIsNoDevice)
{
    DoctorReport report = report_of({});
    report.peers.gaudis = {{.gaudi = {.address = "0000:4d:00.0", .accel = 0}}};
    report.device = std::unexpected(error_of(hl::ErrorCode::DeviceUnusable));
    EXPECT_THAT(report.text(), HasSubstr("Gaudi       0000:4d:00.0 (accel0)\ndevice      HL-DEV-006: so it is\n"));
    const json parsed = json::parse(report.json());
    EXPECT_EQ(parsed["device"]["error"]["code"], "HL-DEV-006");
    EXPECT_EQ(parsed["gaudis"][0]["accel"], 0);
    EXPECT_TRUE(parsed["gaudis"][0]["module"].is_null());
}

TEST(DoctorReport, JsonSaysTheSame)
{
    DoctorReport report = report_of({contiguous_camera()});
    report.failures.push_back({"/dev/video9", error_of(hl::ErrorCode::ImporterMissing)});
    report.others.push_back("/dev/video5");
    const json parsed = json::parse(report.json());
    EXPECT_EQ(parsed["version"], 1);
    EXPECT_EQ(parsed["host"]["udmabuf"],
              (json{{"path", "/dev/udmabuf"}, {"usable", false}, {"errno", "EACCES"}, {"limit_bytes", nullptr}}));
    EXPECT_EQ(parsed["device"]["stand_in"], "SIM");
    const json &camera = parsed["importers"][0];
    EXPECT_EQ(camera["node"], "/dev/video0");
    EXPECT_EQ(camera["kind"], "capture");
    EXPECT_EQ(camera["plane_bytes"], json::array({614400}));
    EXPECT_EQ(camera["memory"]["pages"]["answer"], "refused");
    EXPECT_EQ(camera["memory"]["pages"]["cause"], "not-contiguous");
    EXPECT_EQ(camera["memory"]["pages"]["code"], "HL-IMP-009");
    EXPECT_EQ(camera["memory"]["pages"]["errno"], "EFAULT");
    EXPECT_EQ(camera["memory"]["heap-mib"]["answer"], "imports");
    EXPECT_EQ(camera["memory"]["heap-mib"]["proof"], "map");
    EXPECT_TRUE(camera["memory"]["heap-mib"]["code"].is_null());
    EXPECT_EQ(camera["memory"]["huge-pages"]["cause"], "no-frame");
    EXPECT_EQ(camera["memory"]["device"]["cause"], "not-a-dmabuf");
    EXPECT_EQ(parsed["failures"][0]["code"], "HL-IMP-001");
    EXPECT_EQ(parsed["not_importers"], json::array({"/dev/video5"}));
    EXPECT_EQ(parsed["exit_status"], 3);
}

TEST(DoctorReport, ADriversNameNeedsNoUtf8)
{
    hl::ImportFinding finding = contiguous_camera();
    finding.importer.card = "\xff camera";
    EXPECT_THAT(json::parse(report_of({finding}).json())["importers"][0]["card"].get<std::string>(),
                HasSubstr(" camera"));
}

TEST(DoctorReport, ExitStatusTellsWhetherAllWereJudged)
{
    EXPECT_EQ(report_of({}).exit_status(), DoctorReport::AllJudged);
    EXPECT_EQ(report_of({contiguous_camera()}).exit_status(), DoctorReport::AllJudged);
    EXPECT_EQ(report_of({contiguous_camera(EBUSY)}).exit_status(), DoctorReport::NotJudged);
    hl::ImportFinding late = card({.step = ImportStep::Import});
    late.verdict[0]->answer = hl::ImportAnswer::Unknown;
    late.verdict[0]->cause = hl::ImportCause::MapsLate; // all there is to know
    EXPECT_EQ(report_of({late}).exit_status(), DoctorReport::AllJudged);

    DoctorReport report = report_of({contiguous_camera(EBUSY)});
    report.failures.push_back({"/dev/video1", error_of(hl::ErrorCode::ImporterPermission)});
    EXPECT_EQ(report.exit_status(), DoctorReport::NotJudged);
    report.failures.push_back({"/etc/passwd", error_of(hl::ErrorCode::ImporterKindWrong)});
    EXPECT_EQ(report.exit_status(), DoctorReport::NoImporter);
    EXPECT_THAT(report.text(), HasSubstr("/etc/passwd\n  HL-IMP-003: so it is\n    -> do that\n"));
}

TEST(DoctorReport, SelfTestHasItsOwnTableAndSaysWhatItContradicts)
{
    DoctorReport report = report_of({contiguous_camera()});
    EXPECT_THAT(report.text(), Not(HasSubstr("Self-test")));
    hl::ImportTrials trials;
    trials.fill(hl::ImportTrial{.text = "nothing was done"});
    trials[0] = {.outcome = hl::TrialOutcome::Refused, .step = ImportStep::Queue, .sys_errno = EFAULT, .text = "no"};
    report.trials = {trials};
    EXPECT_EQ(report.exit_status(), DoctorReport::AllJudged);
    EXPECT_THAT(report.text(),
                HasSubstr("/dev/video0  capture  fake    refused  not-tried   not-tried  not-tried  not-tried\n"));
    EXPECT_THAT(report.text(), HasSubstr("  huge-pages, heap, heap-mib, device: nothing was done\n"));
    EXPECT_THAT(report.text(), Not(HasSubstr("CONTRADICTS")));

    report.trials[0][0] = {.outcome = hl::TrialOutcome::Proven, .step = ImportStep::Dequeue, .bytes = 7, .text = "yes"};
    EXPECT_EQ(report.exit_status(), DoctorReport::Contradicted);
    EXPECT_THAT(report.text(), HasSubstr("  pages: CONTRADICTS THE ANSWER ABOVE: yes\n"));
    const json parsed = json::parse(report.json());
    const json &pages = parsed["importers"][0]["memory"]["pages"]["self_test"];
    EXPECT_EQ(pages["outcome"], "proven");
    EXPECT_EQ(pages["contradicts"], true);
    EXPECT_EQ(pages["operation"], "VIDIOC_DQBUF");
    EXPECT_EQ(pages["bytes"], 7);
    EXPECT_EQ(parsed["exit_status"], 4);
    report.failures = {{"/dev/video9", error_of(hl::ErrorCode::ImporterMissing)}};
    EXPECT_EQ(report.exit_status(), DoctorReport::NoImporter);
}
